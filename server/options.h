#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/runtime/load_model.h"
#include "server/api/request/generation_options.h"
#include "server/api/responses/response_store.h"
#include "server/api/service/media_stage.h"
#include "server/api/service/rate_limiter.h"
#include "server/http/limits.h"
#include "server/media/file_store.h"
#include "server/media/media_limits.h"
#include "server/media/url_guard.h"
#include "server/media/video_decoder.h"

namespace saccade {

// What is served and what it may cost. Every limit of the program has its option in options.cc,
// with default and unit; where each is enforced stands beside its struct.
struct ServeOptions {
  std::filesystem::path model_dir;
  std::string host = "127.0.0.1";
  int port = 8000;  // 0: any free one
  std::vector<std::string> served_model_names;
  std::vector<std::string> api_keys;
  std::vector<api::KeyLimits> key_limits;  // [api_keys]
  api::KeyLimits default_limits;           // of keys that say nothing else, and without a key
  std::vector<std::string> cors_origins;
  std::filesystem::path model_defaults;  // empty: none
  FetchPolicy fetch;
  FileStoreLimits files;
  api::ResponseStoreLimits responses;
  std::chrono::milliseconds keepalive{10'000};
  std::filesystem::path chat_template;  // empty: the model's own
  bool trust_request_chat_template = false;
  std::optional<uint64_t> seed;           // of all answers that bring none; none: random
  std::string tool_call_parser = "auto";  // or a name of tool_style_names()
  std::string reasoning_parser = "auto";  // or none, or what reasoning_style() takes
  std::chrono::milliseconds drain_timeout{30'000};
  std::string log_level = "info";
  bool log_json = false;

  ModelOptions model;
  std::vector<std::string> adapter_names;  // of model.adapters
  int max_num_batched_tokens = 0;          // 0: the scheduler's default
  int max_queue = 256;
  http::ConnectionLimits connections;
  api::FieldLimits fields;
  MediaLimits image;
  VideoLimits video;
  api::RequestMediaLimits media;
};

struct GenerateOptions {
  std::string prompt;
  std::vector<std::filesystem::path> images;
  std::vector<std::filesystem::path> videos;
  int max_tokens = 0;  // 0: what the model's length leaves
  float temperature = 0;
};

enum class Command { kServe, kGenerate, kBench, kInspect };

struct ProgramOptions {
  Command command = Command::kServe;
  ServeOptions serve;  // model and device settings of the other commands, too
  GenerateOptions generate;
  std::vector<std::string> bench_arguments;  // as given: the bench reads them itself
};

// The program is to end now: after --help or --version (status 0), or for bad arguments (2). The
// text has been printed.
struct ExitNow {
  int status;
};

// Command line over SACCADE_* environment variables over the JSON file of --config over defaults.
// Throws ExitNow.
ProgramOptions parse_options(int argc, const char* const* argv);

}  // namespace saccade
