#pragma once

#include <vector>

namespace saccade {

// Attention with linear biases (ALiBi: Press et al. 2022): a head's score of a key falls by the
// head's slope for each position that lies between it and the query. The slopes [heads] as MPT has
// them: 2^(-max_bias i / n), i = 1..n, n the next power of two; where that is not `heads`, those of
// even i, then those of odd i.
std::vector<float> alibi_slopes(int heads, double max_bias);

}  // namespace saccade
