#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace saccade::fuzz {

// Damages inputs. The same seed and number damage in the same way.
class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, const std::vector<std::string>& words)
      : seeds_(seeds), words_(words) {}

  std::string input(uint64_t seed, uint64_t number);

 private:
  size_t below(size_t bound) { return bound == 0 ? 0 : random_() % bound; }
  void damage(std::string& text);
  void overwrite_number(std::string& text);

  const std::vector<std::string>& seeds_;
  const std::vector<std::string>& words_;
  std::mt19937_64 random_;
};

}  // namespace saccade::fuzz
