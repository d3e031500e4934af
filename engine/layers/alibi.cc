#include "engine/layers/alibi.h"

#include <bit>
#include <cmath>

namespace saccade {

std::vector<float> alibi_slopes(int heads, double max_bias) {
  const int count = static_cast<int>(std::bit_ceil(static_cast<unsigned>(heads)));
  const float step = static_cast<float>(max_bias / count);
  std::vector<float> slopes;
  const auto add = [&](int first, int stride) {
    for (int i = first; i <= count; i += stride) {
      slopes.push_back(1.0F / std::exp2(static_cast<float>(i) * step));
    }
  };
  if (count == heads) {
    add(1, 1);
  } else {
    add(2, 2);
    add(1, 2);
  }
  slopes.resize(static_cast<size_t>(heads));
  return slopes;
}

}  // namespace saccade
