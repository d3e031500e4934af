#include "server/options.h"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <type_traits>

#include "server/json_limits.h"
#include "server/output/answer/reasoning_parser.h"
#include "server/output/answer/tool_call_parser.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

std::string environment_name(std::string option) {
  std::string name = "SACCADE_";
  for (const char c : option) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

// What CLI11 itself lets by: "-1" as the largest unsigned number, and NaN as one within any range.
std::string check_number(const std::string& text) {
  const bool wrong = text.starts_with('-') || CLI::detail::to_lower(text).find("nan") == 0;
  return wrong ? "must be a number that is not negative, not " + text : std::string();
}

std::string check_not_empty(const std::string& text) {
  return text.empty() ? "must not be empty" : std::string();
}

// What names no host would match none. An IPv6 address comes without the brackets that URLs have:
// CLI11 takes them for those of a list.
std::string read_domain(std::string& text) {
  std::string_view host = text;
  if (host.starts_with("*.")) host.remove_prefix(2);
  in6_addr address;
  const bool ipv6 = inet_pton(AF_INET6, text.c_str(), &address) == 1;
  const bool right = ipv6 || std::all_of(host.begin(), host.end(), [](unsigned char c) {
                       return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
                     });
  if (!right || host.empty() || host.back() == '.') {
    return "must be HOST or *.HOST, without a scheme, a port or a path, not " + text;
  }
  char written[INET6_ADDRSTRLEN];
  if (ipv6) text = std::string("[") + inet_ntop(AF_INET6, &address, written, sizeof written) + "]";
  return {};
}

// Every option goes through here, so that each has its environment variable.
template <typename T>
CLI::Option* add(CLI::App& app, const std::string& name, T& value, const std::string& help) {
  CLI::Option* option = app.add_option("--" + name, value, help)
                            ->envname(environment_name(name))
                            ->capture_default_str()
                            ->check(check_not_empty);
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) option->check(check_number);
  return option;
}

// A number of bytes, also as 64K, 64M, 1G (of 1024).
template <typename T>
CLI::Option* add_size(CLI::App& app, const std::string& name, T& value, const std::string& help) {
  const CLI::Validator in_bytes(
      [](std::string& text) {
        const std::string problem = check_number(text);
        return problem.empty() ? CLI::AsSizeValue(false)(text) : problem;
      },
      "");
  return add(app, name, value, help + " [bytes]")->transform(in_bytes);
}

// Values that need a second look once everything is parsed.
struct RawValues {
  std::string kv_cache_memory;
  std::string api_key;
  std::string api_key_file;
  std::string config_file;
  std::vector<std::string> adapters;
  std::string log_format = "text";
  double drain_timeout = 30;
  double keepalive = 10;
  double fetch_timeout = 20;
  double file_lifetime = 86400;
  double read_timeout = 30;
  double write_timeout = 60;
};

const std::map<std::string, DeviceKind> kDevices = {
    {"auto", DeviceKind::kAuto}, {"cpu", DeviceKind::kCpu}, {"cuda", DeviceKind::kCuda}};
const std::map<std::string, DtypeKind> kDtypes = {{"auto", DtypeKind::kAuto},
                                                  {"bfloat16", DtypeKind::kBfloat16},
                                                  {"float32", DtypeKind::kFloat32},
                                                  {"float16", DtypeKind::kFloat16}};

const std::map<std::string, Quantization> kQuantizations = {{"auto", Quantization::kAsStored},
                                                            {"none", Quantization::kNone},
                                                            {"int8", Quantization::kInt8},
                                                            {"int4", Quantization::kInt4}};

const std::map<std::string, KvCacheDtype> kKvCacheDtypes = {{"auto", KvCacheDtype::kAuto},
                                                            {"int8", KvCacheDtype::kInt8}};

constexpr const char* kModelHelp =
    "a Hugging Face checkpoint folder, or a GGUF file of a LLaMA decoder";

void add_model_options(CLI::App& app, ServeOptions& options, RawValues& raw) {
  app.add_option("MODEL", options.model_dir, kModelHelp)->required()->check(check_not_empty);
  add(app, "device", options.model.device, "where the model runs: auto, cpu, cuda")
      ->transform(CLI::CheckedTransformer(kDevices).description(""))
      ->default_str("auto");
  add(app, "dtype", options.model.dtype, "what it computes in: auto, bfloat16, float32, float16")
      ->transform(CLI::CheckedTransformer(kDtypes).description(""))
      ->default_str("auto");
  add(app, "quantization", options.model.quantization,
      "the decoder's weights: auto (as the file has them), none, or rounded at load: int8, int4")
      ->transform(CLI::CheckedTransformer(kQuantizations).description(""))
      ->default_str("auto");
  add(app, "threads", options.model.num_threads, "compute threads; 0: all cores")
      ->check(CLI::Range(0, 1024));
  add(app, "max-model-len", options.model.max_model_len,
      "longest prompt and answer together; 0: the model's [tokens]")
      ->check(CLI::Range(0, 1 << 24));
  add(app, "max-num-seqs", options.model.max_num_seqs, "sequences running at a time")
      ->check(CLI::Range(1, 4096));
  add(app, "max-num-batched-tokens", options.max_num_batched_tokens,
      "positions of one step; 0: chosen [tokens]")
      ->check(CLI::Range(0, 1 << 20));
  add(app, "kv-cache-memory", raw.kv_cache_memory, "KV cache: BYTES or N% of the free memory");
  add(app, "kv-cache-dtype", options.model.kv_cache_dtype,
      "keys and values: auto (as the model computes), or rounded to 8 bits: int8")
      ->transform(CLI::CheckedTransformer(kKvCacheDtypes).description(""))
      ->default_str("auto");
  add(app, "block-size", options.model.block_size, "tokens of one KV block")
      ->check(CLI::Range(1, 256));
  add(app, "chat-template", options.chat_template, "a Jinja file instead of the model's template")
      ->check(CLI::ExistingFile);
  add(app, "config", raw.config_file, "a JSON file with any of these options")
      ->check(CLI::ExistingFile);
  add(app, "log-level", options.log_level, "trace, debug, info, warn, error, off")
      ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
  add(app, "log-format", raw.log_format, "text or json")->check(CLI::IsMember({"text", "json"}));
}

void add_serve_options(CLI::App& app, ServeOptions& options, RawValues& raw) {
  add(app, "host", options.host, "address to listen on");
  add(app, "port", options.port, "port to listen on; 0: any free one")->check(CLI::Range(0, 65535));
  add(app, "served-model-name", options.served_model_names, "name in /v1/models; may be repeated")
      ->default_str("the folder's name");
  add(app, "lora", raw.adapters,
      "NAME=DIR: a PEFT folder (LoRA or LLaMA-Adapter), chosen by `model` NAME; may be repeated");
  CLI::Option* key = add(app, "api-key", raw.api_key, "key that clients must send");
  add(app, "api-key-file", raw.api_key_file,
      "file with such keys, one a line, with limits of their own behind them: KEY requests=60 "
      "tokens=10000 pixels=1000000 streams=2")
      ->check(CLI::ExistingFile)
      ->excludes(key);
  add(app, "trust-request-chat-template", options.trust_request_chat_template,
      "true: requests may bring a chat template of their own");
  add(app, "seed", options.seed,
      "answers whose request has no seed are the same in every run; without: random")
      ->check(CLI::NonNegativeNumber);
  std::vector<std::string> parsers = tool_style_names();
  parsers.emplace_back("auto");
  add(app, "tool-call-parser", options.tool_call_parser,
      "how the model writes tool calls; auto: as its template says")
      ->check(CLI::IsMember(parsers));
  add(app, "reasoning-parser", options.reasoning_parser,
      "auto, none, think, answer, because, or START,END: what sets reasoning apart")
      ->check([](const std::string& name) {
        const bool known = name == "auto" || name == "none" || reasoning_style(name);
        return known ? std::string() : "must be auto, none, think, answer, because or START,END";
      });
  add(app, "max-queue", options.max_queue, "requests that wait; more get 429")
      ->check(CLI::Range(1, 1 << 20));
  add(app, "model-defaults", options.model_defaults,
      "a JSON file {\"served name\": {field: value}}: what requests get where they say nothing")
      ->check(CLI::ExistingFile);
  add(app, "cors-origin", options.cors_origins,
      "an origin whose pages may use this server, or *; may be repeated");
  add(app, "sse-keepalive", raw.keepalive, "a silent stream gets a comment after this [s]")
      ->check(CLI::Range(0.01, 3600.0));
  add(app, "drain-timeout", raw.drain_timeout, "time for running requests after SIGTERM [s]")
      ->check(CLI::Range(0.0, 86400.0));
}

void add_limit_options(CLI::App& app, ServeOptions& options, RawValues& raw) {
  http::ConnectionLimits& connections = options.connections;
  add_size(app, "max-body-size", connections.max_body_bytes, "request body; beyond: 413");
  add_size(app, "max-bodies-size", connections.max_bodies_bytes,
           "bodies of all requests until they are parsed; beyond: 503");
  api::KeyLimits& key = options.default_limits;
  add(app, "requests-per-minute", key.requests_per_minute, "of one key; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  add(app, "tokens-per-minute", key.tokens_per_minute, "of one key; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  add(app, "pixels-per-minute", key.pixels_per_minute, "of one key's pictures; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  add(app, "max-streams", key.streams, "open at a time for one key; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  add_size(app, "max-header-size", connections.max_head_bytes,
           "request line and headers; beyond: 431");
  add(app, "max-connections", connections.max_connections,
      "open connections; a new one replaces the longest silent")
      ->check(CLI::Range(1, 65536));
  add(app, "read-timeout", raw.read_timeout, "a silent or too slow sender is cut after this [s]")
      ->check(CLI::Range(0.01, 86400.0));
  add(app, "write-timeout", raw.write_timeout, "a client that reads nothing is cut after this [s]")
      ->check(CLI::Range(0.01, 86400.0));

  api::FieldLimits& fields = options.fields;
  add(app, "max-n", fields.max_n, "choices of one request")->check(CLI::Range(1, 128));
  add(app, "max-stop-strings", fields.max_stop_strings, "stop strings of a request");
  add_size(app, "max-stop-size", fields.max_stop_bytes, "one stop string");
  add(app, "max-top-logprobs", fields.max_top_logprobs, "alternatives per token")
      ->check(CLI::Range(0, 20));
  add(app, "max-logit-bias", fields.max_logit_bias, "keys of logit_bias");
  add(app, "max-messages", fields.max_messages, "messages of a chat");
  add(app, "max-tools", fields.max_tools, "tools of a chat");

  add_size(app, "max-image-size", options.image.max_image_bytes, "one encoded picture");
  add(app, "max-image-pixels", options.image.max_image_pixels, "one picture [pixels]")
      ->check(CLI::PositiveNumber);
  add(app, "max-image-side", options.image.max_image_side, "one picture's longer side [pixels]")
      ->check(CLI::PositiveNumber);
  add(app, "max-image-aspect", options.image.max_image_aspect, "longer side over shorter side")
      ->check(CLI::PositiveNumber);
  add(app, "max-images", options.media.max_images, "pictures of a request")
      ->check(CLI::Range(0, 4096));
  add(app, "max-request-pixels", options.media.max_total_pixels,
      "all pictures of a request [pixels]");
  add(app, "allow-media-domain", options.fetch.domains,
      "a host whose http(s) pictures are fetched, or *.HOST; may be repeated")
      ->transform(CLI::Validator(read_domain, ""));
  add(app, "allow-private-media-hosts", options.fetch.allow_private_addresses,
      "true: fetch from private addresses, too; for tests alone");
  add(app, "media-fetch-timeout", raw.fetch_timeout, "one picture's fetch [s]")
      ->check(CLI::Range(0.01, 600.0));
  add_size(app, "max-files-size", options.files.max_bytes, "all uploaded files together");
  add(app, "file-lifetime", raw.file_lifetime, "an uploaded file is gone after this [s]")
      ->check(CLI::Range(1.0, 2.6e6));
  add(app, "max-responses", options.responses.max_entries,
      "responses kept for previous_response_id");
  add_size(app, "max-responses-size", options.responses.max_bytes, "all of them together");
  add_size(app, "max-video-size", options.video.max_bytes, "one encoded video");
  add(app, "max-video-seconds", options.video.max_seconds, "one video [seconds]");
  add(app, "max-video-frames", options.video.max_frames, "frames in one video's file");
  add(app, "max-frame-pixels", options.video.max_frame_pixels, "one frame of a video [pixels]");
  add(app, "max-video-decode-seconds", options.video.max_decode_seconds,
      "time to decode one video [seconds]");
  add(app, "max-frames", options.media.max_frames, "frames of a request that are looked at");
  add_size(app, "media-memory", options.media.decode_memory, "pictures being decoded at a time");
  add_size(app, "media-cache", options.media.cache_memory,
           "the latest pictures, up to 64, as the encoder takes them; 0: none are kept");
}

// The text of an option's file, which may be a pipe.
std::string read_option_file(const std::string& option, const std::string& path) {
  constexpr size_t kMaxBytes = size_t{1} << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMaxBytes) throw CLI::ValidationError(option, path + " is too large");
  return text;
}

// A variable that is set to nothing says no less than the same words on the command line: what was
// to be a key must not open the server. CLI11 takes it for one that is not set.
void refuse_empty_environment(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    const char* value = std::getenv(option->get_envname().c_str());
    if (option->count() > 0 || value == nullptr || *value != '\0') continue;
    throw CLI::ValidationError(option->get_envname(), check_not_empty(value));
  }
}

// What neither the command line nor the environment has said is taken from the file.
void apply_config_file(CLI::App& command, const std::string& path) {
  if (path.empty()) return;
  const std::string text = read_option_file("--config", path);
  const Status small = check_json_size(text, path);
  if (!small.ok()) throw CLI::ValidationError("--config", small.message());
  const Json config = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (config.is_discarded()) throw CLI::ValidationError("--config", path + " is not valid JSON");
  if (!config.is_object())
    throw CLI::ValidationError("--config", path + " must hold a JSON object");
  for (const auto& [key, value] : config.items()) {
    std::string name = "--" + key;
    std::replace(name.begin(), name.end(), '_', '-');
    CLI::Option* option = command.get_option_no_throw(name);
    if (option == nullptr || name == "--config" || name == "--help") {
      throw CLI::ValidationError("--config", path + ": unknown option " + key);
    }
    if (option->count() > 0 || value.is_null()) continue;
    for (const Json& item : value.is_array() ? value : Json::array({value})) {
      if (item.is_structured() || item.is_null()) {
        throw CLI::ValidationError(name, "must be a text, a number or a list of them in " + path);
      }
      option->add_result(item.is_string() ? item.get<std::string>() : item.dump());
    }
    option->run_callback();
  }
}

void read_kv_cache_memory(const std::string& text, ModelOptions& model) {
  if (text.empty()) return;
  try {
    size_t used = 0;
    if (text.back() == '%') {
      model.kv_cache_fraction = std::stod(text, &used) / 100;
      if (used == text.size() - 1 && model.kv_cache_fraction > 0 && model.kv_cache_fraction <= 1)
        return;
    } else {
      std::string bytes = text;
      CLI::AsSizeValue(false)(bytes);
      model.kv_cache_bytes = std::stoll(bytes, &used);
      if (used == bytes.size() && model.kv_cache_bytes > 0) return;
    }
  } catch (const std::exception&) {  // falls through to the one message
  }
  throw CLI::ValidationError("--kv-cache-memory", "must be BYTES or N%, not " + text);
}

// "requests=60"
void read_key_limit(const std::string& text, api::KeyLimits& limits) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  try {
    if (equals == std::string::npos) throw std::invalid_argument(text);
    size_t used = 0;
    const std::string digits = text.substr(equals + 1);
    const double value = std::stod(digits, &used);
    if (used != digits.size() || !(value >= 0) || value > 1e15) throw std::invalid_argument(text);
    if (name == "requests") return void(limits.requests_per_minute = value);
    if (name == "tokens") return void(limits.tokens_per_minute = value);
    if (name == "pixels") return void(limits.pixels_per_minute = value);
    if (name == "streams") return void(limits.streams = static_cast<int>(std::min(value, 1e9)));
  } catch (const std::exception&) {  // falls through to the one message
  }
  throw CLI::ValidationError("--api-key-file",
                             "behind a key stand requests=, tokens=, pixels= or streams= with a "
                             "number, not " +
                                 text);
}

void read_keys(const RawValues& raw, ServeOptions& options) {
  const auto add_key = [&](const std::string& key) {
    options.api_keys.push_back(key);
    options.key_limits.push_back(options.default_limits);
  };
  if (!raw.api_key.empty()) add_key(raw.api_key);
  if (raw.api_key_file.empty()) return;
  std::istringstream file(read_option_file("--api-key-file", raw.api_key_file));
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    if (!(words >> word)) continue;
    add_key(word);
    while (words >> word) read_key_limit(word, options.key_limits.back());
  }
  if (options.api_keys.empty()) throw CLI::ValidationError("--api-key-file", "holds no key");
}

// NAME=DIR of each --lora.
void read_adapters(const std::vector<std::string>& pairs, ServeOptions& options) {
  const auto taken = [&](const std::string& name) {
    const auto in = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    return in(options.served_model_names) || in(options.adapter_names);
  };
  for (const std::string& pair : pairs) {
    const size_t split = pair.find('=');
    if (split == 0 || split == std::string::npos || split + 1 == pair.size()) {
      throw CLI::ValidationError("--lora", "expected NAME=DIR, got " + pair);
    }
    const std::string name = pair.substr(0, split);
    if (taken(name)) throw CLI::ValidationError("--lora", "the name " + name + " is taken");
    options.adapter_names.push_back(name);
    options.model.adapters.emplace_back(pair.substr(split + 1));
  }
}

std::chrono::milliseconds to_milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

void finish(CLI::App& command, RawValues& raw, ServeOptions& options) {
  refuse_empty_environment(command);
  apply_config_file(command, raw.config_file);
  read_kv_cache_memory(raw.kv_cache_memory, options.model);
  read_keys(raw, options);
  options.keepalive = to_milliseconds(raw.keepalive);
  options.fetch.max_bytes = options.image.max_image_bytes;
  options.fetch.total_timeout_ms = static_cast<int>(raw.fetch_timeout * 1000);
  options.files.max_age = std::chrono::seconds(static_cast<int64_t>(raw.file_lifetime));
  options.log_json = raw.log_format == "json";
  options.drain_timeout = to_milliseconds(raw.drain_timeout);
  options.connections.read_timeout = to_milliseconds(raw.read_timeout);
  options.connections.write_timeout = to_milliseconds(raw.write_timeout);
  if (options.served_model_names.empty()) {
    const auto folder = std::filesystem::absolute(options.model_dir).lexically_normal();
    const auto named = folder.has_filename() ? folder : folder.parent_path();
    options.served_model_names = {
        (named.extension() == ".gguf" ? named.stem() : named.filename()).string()};
  }
  read_adapters(raw.adapters, options);
}

}  // namespace

ProgramOptions parse_options(int argc, const char* const* argv) {
  ProgramOptions program;
  RawValues raw;
  // Apart from those of `serve`: CLI11 reads the environment for commands that were not given, too.
  ServeOptions generate_model;
  RawValues generate_raw;
  CLI::App app("Serves vision-language models over the OpenAI HTTP API.", "saccade");
  app.set_version_flag("--version", "saccade " SACCADE_VERSION);
  app.require_subcommand(1);

  CLI::App* serve = app.add_subcommand("serve", "serve a model over HTTP");
  add_model_options(*serve, program.serve, raw);
  add_serve_options(*serve, program.serve, raw);
  add_limit_options(*serve, program.serve, raw);

  CLI::App* generate = app.add_subcommand("generate", "one answer on the terminal, no server");
  add_model_options(*generate, generate_model, generate_raw);
  generate->add_option("--prompt", program.generate.prompt, "what to ask")->required();
  generate->add_option("--video", program.generate.videos, "a video file; may be repeated")
      ->check(CLI::ExistingFile);
  generate->add_option("--image", program.generate.images, "a picture file; may be repeated")
      ->check(CLI::ExistingFile);
  generate->add_option("--max-tokens", program.generate.max_tokens, "longest answer; 0: what fits")
      ->check(CLI::Range(0, 1 << 24));
  generate->add_option("--temperature", program.generate.temperature, "0: the likeliest words")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();

  CLI::App* bench = app.add_subcommand("bench", "tokens per second and time per stage");
  bench->prefix_command();  // its own parser reads the rest, --help too
  bench->set_help_flag();

  CLI::App* inspect = app.add_subcommand("inspect", "what a model folder holds");
  inspect->add_option("MODEL", program.serve.model_dir, kModelHelp)->required();

  try {
    app.parse(argc, argv);
    if (serve->parsed()) finish(*serve, raw, program.serve);
    if (generate->parsed()) {
      finish(*generate, generate_raw, generate_model);
      program.serve = generate_model;
    }
  } catch (const CLI::ParseError& error) {
    throw ExitNow{app.exit(error) == 0 ? 0 : 2};
  }
  program.command = serve->parsed()      ? Command::kServe
                    : generate->parsed() ? Command::kGenerate
                    : bench->parsed()    ? Command::kBench
                                         : Command::kInspect;
  program.bench_arguments = bench->remaining();
  return program;
}

}  // namespace saccade
