#pragma once

#include <functional>
#include <string>
#include <vector>

namespace saccade::fuzz {

// A reader of hostile bytes. What is wrong with an input must come as an error of the reader's own
// kind; anything else (an exception of another type, a broken promise) is a finding.
struct Target {
  std::string name;
  std::vector<std::string> seeds;  // inputs to begin with
  std::vector<std::string> words;  // that make sense inside of one
  // Throws std::logic_error or any foreign exception for a finding.
  std::function<void(const std::string& input)> run;
};

std::vector<Target> engine_targets();
std::vector<Target> http_targets();
std::vector<Target> media_targets();
std::vector<Target> text_targets();

// A broken promise.
void require(bool promise, const char* what);

// The bytes of a file of this repository.
std::string read_seed(const std::string& path);

}  // namespace saccade::fuzz
