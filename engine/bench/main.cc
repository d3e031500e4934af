// The bench as a program of its own, for builds without the server.
#include "engine/bench/bench.h"

int main(int argc, char** argv) {
  return saccade::bench_main(std::vector<std::string>(argv + 1, argv + argc));
}
