#pragma once

namespace saccade {

// Times the CPU kernels one by one, without a model: shapes of SmolLM2-135M and of a small vision
// tower, operands that lie beyond every cache where a step finds them there, best of several runs.
// One line each on stdout (JSON with `json`): milliseconds, bytes and operations per second, and
// the share of the nearer ceiling, which is measured first.
void bench_kernels(bool json);

}  // namespace saccade
