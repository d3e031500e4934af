#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace saccade {

// What all answers together may spend on masks in one step of the engine, whose thread they share:
// with many of them at once, credit for each alone adds up. Who would go beyond it sits the step
// out; who has done so longest goes first in the next. Counted as GrammarCredit. Engine thread
// only.
class MaskBudget {
 public:
  static constexpr int64_t kEachStep = 100'000;  // about 30 ms

  // One answer.
  struct Member {
    int64_t cost = 0;      // of its last mask, and so about of its next
    uint64_t asked = 0;    // the last step it was asked in
    uint64_t invited = 0;  // the last step it was promised
    uint64_t since = 0;    // the step it has sat out first since it last went; 0: it went
  };

  explicit MaskBudget(int64_t each_step = kEachStep) : each_step_(each_step) {}

  // An answer's mask has cost so much.
  void spend(Member& member, int64_t places) {
    member.cost = places;
    spent_ += places;
  }

  // Whether this answer sits the coming step out. Every answer that could go is asked once a step:
  // one that is asked again begins the next.
  bool sits_out(const std::shared_ptr<Member>& member) {
    if (member->asked == step_) begin_step();
    member->asked = step_;
    const bool invited = member->invited == step_;
    if (!invited && member->cost > std::max<int64_t>(left_, 0)) {
      if (member->since == 0) member->since = step_;
      sitting_.push_back(member);
      return true;
    }
    if (!invited) left_ -= member->cost;
    member->since = 0;
    return false;
  }

 private:
  void begin_step() {
    ++step_;
    owed_ = std::max<int64_t>(owed_ + std::exchange(spent_, 0) - each_step_, 0);
    left_ = each_step_ - owed_;  // masks may cost more than those before them
    std::stable_sort(sitting_.begin(), sitting_.end(),
                     [](const auto& a, const auto& b) { return a->since < b->since; });
    for (const std::shared_ptr<Member>& member : sitting_) {
      const bool first = left_ == each_step_;  // goes, whatever it costs
      if (member->cost > left_ && !first) break;
      member->invited = step_;
      left_ -= member->cost;
    }
    sitting_.clear();
  }

  const int64_t each_step_;
  uint64_t step_ = 1;
  int64_t left_ = each_step_;
  int64_t spent_ = 0;                             // in this step
  int64_t owed_ = 0;                              // of earlier ones
  std::vector<std::shared_ptr<Member>> sitting_;  // those who sit this step out
};

}  // namespace saccade
