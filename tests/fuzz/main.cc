// Damaged inputs against every reader.
//   fuzz TARGET|all SEED COUNT     COUNT inputs for each target
//   fuzz TARGET --file FILE        one input, of a finding
// A finding's input lies in fuzz-TARGET.bin when the program dies of it; SEED and number make it
// again.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/fuzz/mutator.h"
#include "tests/fuzz/target.h"

namespace saccade::fuzz {

void require(bool promise, const char* what) {
  if (!promise) throw std::logic_error(what);
}

std::string read_seed(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read (run in the repository's root)");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

namespace {

const std::string* current = nullptr;
std::string current_file;

void keep_current() {
  if (current == nullptr) return;
  if (std::FILE* file = std::fopen(current_file.c_str(), "wb")) {
    std::fwrite(current->data(), 1, current->size(), file);
    std::fclose(file);
  }
}

// Keeps the input that the program dies of, on a stack of its own: the other may be what ended.
void keep_when_dying() {
  static char stack[1 << 16];
  const stack_t other{stack, 0, sizeof stack};
  sigaltstack(&other, nullptr);
  struct sigaction action {};
  action.sa_handler = [](int number) {
    keep_current();
    ::raise(number);
  };
  action.sa_flags = SA_ONSTACK | static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    sigaction(number, &action, nullptr);
  }
}

bool run_one(const Target& target, const std::string& input, const std::string& name) {
  current = &input;
  current_file = "fuzz-" + target.name + ".bin";
  try {
    target.run(input);
    current = nullptr;
    return true;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s %s: %s\n", target.name.c_str(), name.c_str(), error.what());
    keep_current();
    current = nullptr;
    return false;
  }
}

bool run_many(const Target& target, uint64_t seed, uint64_t count) {
  bool good = true;
  for (size_t i = 0; i < target.seeds.size(); ++i) {
    good = run_one(target, target.seeds[i], "seed " + std::to_string(i)) && good;
  }
  Mutator mutator(target.seeds, target.words);
  for (uint64_t number = 0; number < count; ++number) {
    const std::string input = mutator.input(seed, number);
    good = run_one(target, input, std::to_string(seed) + " " + std::to_string(number)) && good;
  }
  std::fprintf(stderr, "%s: %llu inputs\n", target.name.c_str(),
               static_cast<unsigned long long>(count));
  return good;
}

int run(const std::string& wanted, const char* second, const char* third) {
  bool good = true, known = false;
  for (const auto& targets : {engine_targets(), http_targets(), media_targets(), text_targets()}) {
    for (const Target& target : targets) {
      if (wanted != "all" && wanted != target.name) continue;
      known = true;
      good = (std::string(second) == "--file" ? run_one(target, read_seed(third), third)
                                              : run_many(target, std::strtoull(second, nullptr, 10),
                                                         std::strtoull(third, nullptr, 10))) &&
             good;
    }
  }
  if (!known) std::fprintf(stderr, "there is no target %s\n", wanted.c_str());
  return good && known ? 0 : 1;
}

}  // namespace

void keep_input() { keep_current(); }

int main_of(const char* const* argv) {
  keep_when_dying();
  return run(argv[1], argv[2], argv[3]);
}

}  // namespace saccade::fuzz

extern "C" void __asan_on_error();
extern "C" void __asan_on_error() { saccade::fuzz::keep_input(); }

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return saccade::fuzz::main_of(argv);
}
