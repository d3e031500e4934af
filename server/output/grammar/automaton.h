#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "server/output/grammar/credit.h"
#include "server/output/grammar/program.h"

namespace saccade::grammar {

// Runs a program over bytes as a deterministic automaton that is built as far as it is used: a
// state is the set of all places where the text may be, each with the calls and counters that led
// there. One thread at a time.
class Automaton {
 public:
  static constexpr int kDead = -1;  // no text with this beginning matches

  // Every place that is looked at is taken from `credit`: whoever calls may see a ConstraintError.
  Automaton(std::shared_ptr<const Program> program, std::shared_ptr<GrammarCredit> credit);
  // Knows what `other` knows; its own work is on another credit.
  Automaton(const Automaton& other, std::shared_ptr<GrammarCredit> credit) : Automaton(other) {
    credit_ = std::move(credit);
  }

  int start() const { return start_; }
  int step(int state, uint8_t byte);
  bool accepting(int state) const { return states_[static_cast<size_t>(state)].accepting; }

  // Equal for states that allow the same next `reach` bytes: counters count only as far as they
  // can be felt within them.
  std::string mask_key(int state, int reach) const;

  // Forgets all states but this one, whose new number is returned; when they take much memory.
  int compacted(int state);

 private:
  // What is to be done once the current rule or repetition ends.
  struct Frame {
    int parent = -1;  // -1: the text is complete
    int place = 0;    // >= 0: the instruction to return to; < 0: ~ of the repetition
    int count = 0;    // times around so far
  };
  // A byte instruction that may be next, and its frame.
  struct Place {
    int instruction;
    int frame;
    bool operator==(const Place&) const = default;
    auto operator<=>(const Place&) const = default;
  };
  struct State {
    std::vector<Place> places;  // sorted
    bool accepting = false;
    std::vector<int> next;  // by class of byte; kUnknown where not asked for yet
  };

  int frame(int parent, int place, int count);
  int state_of(std::vector<Place> begin);
  void follow(const Place& place, std::vector<Place>& todo, State& state);
  int import(const Automaton& other, int frame, std::unordered_map<int, int>& known);

  std::shared_ptr<const Program> program_;
  std::shared_ptr<GrammarCredit> credit_;
  size_t bytes_ = 0;  // of frames and states, about
  size_t kept_ = 0;   // of these when the rest was last forgotten
  std::vector<Frame> frames_;
  std::unordered_map<std::string, int> frame_ids_;
  std::vector<State> states_;
  std::unordered_map<std::string, int> state_ids_;
  int start_ = 0;
};

}  // namespace saccade::grammar
