#include "server/output/grammar/automaton.h"

#include <algorithm>
#include <set>

namespace saccade::grammar {
namespace {

using Op = Instruction::Op;

constexpr int kUnknown = -2;
constexpr size_t kManyBytes = size_t{4} << 20;  // worth forgetting
constexpr size_t kFrameBytes = 120;             // with its entry in the index
constexpr size_t kFramesOfAKey = 16;            // written in the time that a place takes
constexpr int kNoFrame = -1;

void append(std::string& key, int value) {
  key.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

Automaton::Automaton(std::shared_ptr<const Program> program, std::shared_ptr<GrammarCredit> credit)
    : program_(std::move(program)), credit_(std::move(credit)) {
  start_ = state_of({{program_->start, kNoFrame}});
}

int Automaton::frame(int parent, int place, int count) {
  std::string key;
  append(key, parent);
  append(key, place);
  append(key, count);
  const auto [known, is_new] = frame_ids_.try_emplace(std::move(key), frames_.size());
  if (is_new) {
    frames_.push_back({parent, place, count});
    bytes_ += kFrameBytes;
  }
  return known->second;
}

// What one instruction that takes no byte leads to; a byte instruction is a place of the state.
void Automaton::follow(const Place& place, std::vector<Place>& todo, State& state) {
  const Instruction& code = program_->code[static_cast<size_t>(place.instruction)];
  switch (code.op) {
    case Op::kBytes:
      state.places.push_back(place);
      return;
    case Op::kSplit:
      for (int i = code.argument; i < code.next; ++i) {
        todo.push_back({program_->targets[static_cast<size_t>(i)], place.frame});
      }
      return;
    case Op::kCall: {
      const int entry = program_->rules[static_cast<size_t>(code.argument)];
      // The last call of a rule returns to the rule's own caller, so lists do not pile up frames.
      const bool last = program_->code[static_cast<size_t>(code.next)].op == Op::kReturn;
      todo.push_back({entry, last ? place.frame : frame(place.frame, code.next, 0)});
      return;
    }
    case Op::kReturn:
      if (place.frame == kNoFrame) {
        state.accepting = true;
      } else {
        const Frame caller = frames_[static_cast<size_t>(place.frame)];
        todo.push_back({caller.place, caller.parent});
      }
      return;
    case Op::kEnter:
      todo.push_back({code.next, frame(place.frame, ~code.argument, 0)});
      return;
    case Op::kLoop: {
      const Repetition& times = program_->repetitions[static_cast<size_t>(code.argument)];
      const Frame counter = frames_[static_cast<size_t>(place.frame)];
      const int count = counter.count + 1;
      if (count >= times.min) todo.push_back({code.next, counter.parent});
      if (times.max == kUnbounded || count < times.max) {
        const int kept = times.max == kUnbounded ? std::min(count, times.min) : count;
        todo.push_back({times.body, frame(counter.parent, counter.place, kept)});
      }
      return;
    }
  }
}

int Automaton::state_of(std::vector<Place> todo) {
  State state;
  std::set<Place> seen;
  while (!todo.empty()) {
    const Place place = todo.back();
    todo.pop_back();
    if (!seen.insert(place).second) continue;
    credit_->spend(1);
    follow(place, todo, state);
  }
  if (state.places.empty() && !state.accepting) return kDead;
  std::sort(state.places.begin(), state.places.end());
  std::string key(1, state.accepting ? '+' : '-');
  for (const Place& place : state.places) {
    append(key, place.instruction);
    append(key, place.frame);
  }
  const auto [known, is_new] = state_ids_.try_emplace(std::move(key), states_.size());
  if (is_new) {
    state.next.assign(program_->class_byte.size(), kUnknown);
    bytes_ += known->first.size() + state.places.size() * sizeof(Place) +
              state.next.size() * sizeof(int) + sizeof(State);
    states_.push_back(std::move(state));
  }
  return known->second;
}

int Automaton::step(int from, uint8_t byte) {
  const uint8_t byte_class = program_->byte_class[byte];
  const int known = states_[static_cast<size_t>(from)].next[byte_class];
  if (known != kUnknown) return known;
  std::vector<Place> begin;
  for (const Place& place : states_[static_cast<size_t>(from)].places) {
    const Instruction& code = program_->code[static_cast<size_t>(place.instruction)];
    if (code.low <= byte && byte <= code.high) begin.push_back({code.next, place.frame});
  }
  const int to = state_of(std::move(begin));
  states_[static_cast<size_t>(from)].next[byte_class] = to;
  return to;
}

std::string Automaton::mask_key(int state, int reach) const {
  const State& of = states_[static_cast<size_t>(state)];
  std::string key(1, of.accepting ? '+' : '-');
  size_t frames = 0;
  for (const Place& place : of.places) {
    append(key, place.instruction);
    for (int id = place.frame; id != kNoFrame; id = frames_[static_cast<size_t>(id)].parent) {
      const Frame& frame = frames_[static_cast<size_t>(id)];
      if (++frames % kFramesOfAKey == 0) credit_->spend(1);
      append(key, frame.place);
      if (frame.place >= 0) continue;
      const Repetition& times = program_->repetitions[static_cast<size_t>(~frame.place)];
      if (!times.consumes) {
        append(key, frame.count);
        continue;
      }
      append(key, std::clamp(times.min - frame.count, 0, reach + 1));
      append(key,
             times.max == kUnbounded ? reach + 1 : std::min(times.max - frame.count, reach + 1));
    }
    append(key, kUnknown);
  }
  return key;
}

int Automaton::import(const Automaton& other, int id, std::unordered_map<int, int>& known) {
  std::vector<int> chain;  // from the innermost outwards, as far as it is not known yet
  for (; id != kNoFrame && !known.contains(id);
       id = other.frames_[static_cast<size_t>(id)].parent) {
    chain.push_back(id);
  }
  int parent = id == kNoFrame ? kNoFrame : known[id];
  for (auto old = chain.rbegin(); old != chain.rend(); ++old) {
    const Frame& copied = other.frames_[static_cast<size_t>(*old)];
    parent = known[*old] = frame(parent, copied.place, copied.count);
  }
  return parent;
}

int Automaton::compacted(int state) {
  if (bytes_ < kManyBytes + 2 * kept_ || state == kDead) return state;
  Automaton fresh(program_, credit_);
  std::unordered_map<int, int> known;
  std::vector<Place> places = states_[static_cast<size_t>(state)].places;
  for (Place& place : places) place.frame = fresh.import(*this, place.frame, known);
  // The text may be complete here: that is where the final return stands.
  if (states_[static_cast<size_t>(state)].accepting) places.push_back({0, kNoFrame});
  const int moved = fresh.state_of(std::move(places));
  fresh.kept_ = fresh.bytes_;
  *this = std::move(fresh);
  return moved;
}

}  // namespace saccade::grammar
