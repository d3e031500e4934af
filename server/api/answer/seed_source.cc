#include "server/api/answer/seed_source.h"

namespace saccade::api {
namespace {

uint64_t random_start() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

}  // namespace

SeedSource::SeedSource(std::optional<uint64_t> start)
    : generator_(start ? *start : random_start()) {}

uint64_t SeedSource::next() {
  std::lock_guard lock(mutex_);
  return generator_();
}

}  // namespace saccade::api
