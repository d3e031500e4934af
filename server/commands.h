#pragma once

#include <filesystem>
#include <memory>

#include "server/api/service/service.h"
#include "server/options.h"

// What main() calls. Each returns the exit status, or throws LoadError with the one line to print.
namespace saccade {

int run_serve(const ServeOptions& options);
int run_generate(const ServeOptions& options, const GenerateOptions& generate);
int run_inspect(const std::filesystem::path& folder);

// Loads the folder and starts the engine.
std::unique_ptr<api::Service> load_service(const ServeOptions& options);

}  // namespace saccade
