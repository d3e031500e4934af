#pragma once

#include "engine/bench/bench.h"

namespace saccade {

// `config.requests` requests with a picture each, all different and all waiting from the start, of
// which the last of `config.batches` run at a time: each is encoded, prefilled and answered to its
// end, through scheduler and executor on this thread. Prints requests per second from the first
// step to the last answer. One batch of others runs before. Throws LoadError for a model that takes
// no pictures.
void bench_requests(const LoadedModel& model, const BenchConfig& config);

}  // namespace saccade
