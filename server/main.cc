#include <cstdio>
#include <exception>

#include "engine/bench/bench.h"
#include "server/commands.h"
#include "server/options.h"
#include "server/process.h"

// Read by jemalloc. Weights and caches are walked through as a whole at every step: with pages of
// 2 MiB that costs fewer translations of addresses (on two cores a token of one sequence 10 % less
// time, of eight 5 %). Where the system has no such pages, nothing changes.
extern "C" {
const char* malloc_conf = "thp:always";
}

int main(int argc, char** argv) {
  saccade::open_standard_streams();
  saccade::tell_of_cut_files();
  try {
    const saccade::ProgramOptions options = saccade::parse_options(argc, argv);
    switch (options.command) {
      case saccade::Command::kServe:
        return saccade::run_serve(options.serve);
      case saccade::Command::kGenerate:
        return saccade::run_generate(options.serve, options.generate);
      case saccade::Command::kBench:
        return saccade::bench_main(options.bench_arguments);
      case saccade::Command::kInspect:
        return saccade::run_inspect(options.serve.model_dir);
    }
  } catch (const saccade::ExitNow& exit) {
    return exit.status;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "saccade: %s\n", saccade::one_line(error.what()).c_str());
  }
  return 1;
}
