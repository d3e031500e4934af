#pragma once

#include <cstddef>
#include <cstdint>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

// What one rendering may still spend. Every loop over data pays here, so work, memory and recursion
// are bounded whatever the template does.
class Budget {
 public:
  Budget(int64_t steps, size_t max_bytes, int max_depth)
      : steps_(steps), max_bytes_(max_bytes), max_depth_(max_depth) {}

  void charge(uint64_t steps = 1) {
    if (steps > static_cast<uint64_t>(steps_)) {
      throw TemplateError("the template exceeds its step budget");
    }
    steps_ -= static_cast<int64_t>(steps);
  }
  // For a string of that many bytes about to be made.
  void charge_bytes(size_t bytes) {
    if (bytes > max_bytes_) throw TemplateError("the template exceeds its size budget");
    charge(bytes / kBytesPerStep);
  }
  size_t max_bytes() const { return max_bytes_; }

  void enter() {
    if (++depth_ > max_depth_) throw TemplateError("the template recurses too deeply");
  }
  void leave() { --depth_; }

 private:
  // Copying is fast; at the default budgets this still bounds what one rendering can allocate.
  static constexpr size_t kBytesPerStep = 256;

  int64_t steps_;
  size_t max_bytes_;
  int max_depth_;
  int depth_ = 0;
};

class DepthGuard {
 public:
  explicit DepthGuard(Budget& budget) : budget_(budget) { budget_.enter(); }
  ~DepthGuard() { budget_.leave(); }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Budget& budget_;
};

}  // namespace saccade::jinja
