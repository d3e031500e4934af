#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace saccade {

// What a step spends its time on. The head is the output projection, whatever kernels it runs.
enum class KernelClass { kLinear, kAttention, kElementwise, kHead, kSampling };
inline constexpr std::array<const char*, 5> kKernelClassNames = {"linear", "attention",
                                                                 "elementwise", "head", "sampling"};

// Times and work by class of kernel, summed over the steps that were observed.
struct StepProfile {
  std::array<double, kKernelClassNames.size()> seconds{};
  int64_t weight_bytes = 0;  // packed weights that linear layers (the head too) have read
  // Multiplications and additions of the linear layers and of attention's two products, counting
  // keys that a query sees.
  int64_t flops = 0;
};

// Collects into `profile` what this thread runs while the object lives. Measurements alone make
// one: without it a ProfileScope costs one test of a pointer.
class ProfileCollection {
 public:
  explicit ProfileCollection(StepProfile& profile) : previous_(current_) { current_ = &profile; }
  ~ProfileCollection() { current_ = previous_; }
  ProfileCollection(const ProfileCollection&) = delete;
  ProfileCollection& operator=(const ProfileCollection&) = delete;

  static StepProfile* current() { return current_; }

 private:
  static inline thread_local StepProfile* current_ = nullptr;
  StepProfile* previous_;
};

// Books the time until its end to a class. Inside another scope it does nothing: the outermost one
// counts.
class ProfileScope {
 public:
  explicit ProfileScope(KernelClass kind)
      : profile_(open_ ? nullptr : ProfileCollection::current()), kind_(kind) {
    if (profile_ == nullptr) return;
    open_ = true;
    start_ = std::chrono::steady_clock::now();
  }
  ~ProfileScope() {
    if (profile_ == nullptr) return;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    profile_->seconds[static_cast<size_t>(kind_)] += passed.count();
    open_ = false;
  }
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  static inline thread_local bool open_ = false;
  StepProfile* profile_;
  KernelClass kind_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace saccade
