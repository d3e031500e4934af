#pragma once

#include <atomic>
#include <cstddef>

namespace saccade::http {

// Bytes that the bodies of all requests together may hold until they are parsed. Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(size_t bytes) : left_(static_cast<ptrdiff_t>(bytes)) {}

  // One body's share, given back with the object.
  class Share {
   public:
    explicit Share(BodyBudget& budget) : budget_(budget) {}
    ~Share() { budget_.left_ += held_; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;

    // False, with nothing taken, when so much is not left.
    bool grow_to(size_t bytes) {
      const auto more = static_cast<ptrdiff_t>(bytes) - held_;
      if (more <= 0) return true;
      if ((budget_.left_ -= more) < 0) {
        budget_.left_ += more;
        return false;
      }
      held_ += more;
      return true;
    }

   private:
    BodyBudget& budget_;
    ptrdiff_t held_ = 0;
  };

 private:
  std::atomic<ptrdiff_t> left_;
};

}  // namespace saccade::http
