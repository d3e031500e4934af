#pragma once

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "engine/kernels/element.h"
#include "engine/kernels/isa.h"

namespace saccade::kernels::testing {

// The instruction sets of this machine, best last.
inline std::vector<Isa> isas() {
  std::vector<Isa> out;
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16, Isa::kAmx}) {
    if (is_supported(isa)) out.push_back(isa);
  }
  return out;
}

// Runs with an instruction set and a number of threads; puts both back.
class Setting {
 public:
  Setting(Isa isa, int threads) : isa_(active_isa()), threads_(omp_get_max_threads()) {
    use_isa(isa);
    omp_set_num_threads(threads);
  }
  ~Setting() {
    use_isa(isa_);
    omp_set_num_threads(threads_);
  }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;

 private:
  Isa isa_;
  int threads_;
};

// Numbers stored as T with float access. A margin behind the end is checked for writes.
template <typename T>
class Array {
 public:
  explicit Array(size_t size) : size_(size), data_(size, T{}) {
    data_.resize(size + kMargin, poison());
  }

  static Array random(size_t size, std::mt19937& generator, float scale = 1.0f) {
    std::normal_distribution<float> normal(0.0f, scale);
    Array out(size);
    for (size_t i = 0; i < size; ++i) out.set(i, normal(generator));
    return out;
  }

  T* data() { return data_.data(); }
  const T* data() const { return data_.data(); }
  size_t size() const { return size_; }
  double operator[](size_t i) const { return get(data_[i]); }
  void set(size_t i, float value) { data_[i] = put(value); }
  bool margin_is_intact() const {
    return std::all_of(data_.begin() + size_, data_.end(),
                       [](T value) { return value == poison(); });
  }

  static double rounded(double value) { return get(put(static_cast<float>(value))); }
  static constexpr ElementType type() {
    return sizeof(T) == 4 ? ElementType::kFloat32 : ElementType::kBFloat16;
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kMargin = 0;  // the sanitizer sees reads behind the end as well
#else
  static constexpr size_t kMargin = 64;
#endif
  static T poison() { return put(12345.0f); }
  static T put(float value) {
    if constexpr (sizeof(T) == 4) {
      return value;
    } else {
      return float_to_bf16(value);
    }
  }
  static double get(T value) {
    if constexpr (sizeof(T) == 4) {
      return value;
    } else {
      return bf16_to_float(value);
    }
  }

  size_t size_;
  std::vector<T> data_;
};

// Relative to the larger of 1 and the expected size: float32 noise, or roundings to bf16 (each is
// at most 1/256).
template <typename T>
constexpr double tolerance(double float_tolerance, double bf16_roundings = 1.01) {
  return sizeof(T) == 4 ? float_tolerance : bf16_roundings / 256;
}

inline double relative_error(double got, double expected) {
  return std::abs(got - expected) / std::max(1.0, std::abs(expected));
}

}  // namespace saccade::kernels::testing
