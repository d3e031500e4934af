#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>

#include "server/api/service/ignored_fields.h"
#include "server/commands.h"
#include "server/media/sha256.h"

namespace saccade {
namespace {

// Positions of one step unless --max-num-batched-tokens says otherwise, and pictures encoded in it:
// on a CPU a step must stay short for those who wait for their next token.
constexpr int kCpuBatchedTokens = 256;
constexpr int kGpuBatchedTokens = 2048;
constexpr int kCpuEncodesPerStep = 1;
constexpr int kGpuEncodesPerStep = 8;
// Visual tokens kept for later requests with the same picture, beside what a full request needs.
constexpr int kEncoderCacheTokens = 16384;
// The same for what vision towers make of pictures before a connector reads the question.
constexpr int kTowerCacheTokens = 16384;

int encoder_cache_tokens(const ServeOptions& options, const ModelInfo& info, int max_model_len) {
  if (info.placement != MediaPlacement::kBesidePrompt) {
    return std::max(kEncoderCacheTokens, max_model_len);
  }
  // Each running sequence holds the picture it looks at.
  const ImageSize size = info.encoder_input;
  const int rows = info.image_tokens({.original = size, .part = size});
  return std::max(kEncoderCacheTokens / info.encoder_row_cost, options.model.max_num_seqs * rows);
}

EngineConfig engine_config(const ServeOptions& options, const LoadedModel& model,
                           int max_model_len) {
  EngineConfig config;
  config.max_queue = options.max_queue;
  config.log_error = [](const std::string& message) { spdlog::error("engine: {}", message); };
  SchedulerConfig& scheduler = config.scheduler;
  scheduler.num_blocks = model.num_blocks;
  scheduler.block_size = model.block_size;
  scheduler.max_num_seqs = options.model.max_num_seqs;
  const bool cpu = model.device == "cpu";
  const int batched_tokens = options.max_num_batched_tokens > 0 ? options.max_num_batched_tokens
                             : cpu                              ? kCpuBatchedTokens
                                                                : kGpuBatchedTokens;
  scheduler.max_num_batched_tokens = std::max(batched_tokens, options.model.max_num_seqs);
  scheduler.max_model_len = max_model_len;
  scheduler.max_encode_per_step = cpu ? kCpuEncodesPerStep : kGpuEncodesPerStep;
  scheduler.prefix_caching = model.info.prefix_cacheable;
  scheduler.recompute_beyond = model.info.recompute_beyond;
  scheduler.keys = model.info.keys;
  scheduler.encoder_cache_tokens = encoder_cache_tokens(options, model.info, max_model_len);
  scheduler.tower_rows = model.info.tower_rows;
  scheduler.tower_cache_tokens = kTowerCacheTokens;
  scheduler.eos_ids = model.info.eos_ids;
  scheduler.vocab_size = model.info.vocab_size;
  return config;
}

// Prompt and answer together: what was asked for, what the model was made for, and what the KV
// cache holds.
int longest_sequence(const ServeOptions& options, const LoadedModel& model) {
  const int wanted = options.model.max_model_len > 0
                         ? std::min(options.model.max_model_len, model.info.max_model_len)
                         : model.info.max_model_len;
  const int64_t room = int64_t{model.num_blocks} * model.block_size;
  if (room < wanted) {
    spdlog::warn("the KV cache holds {} tokens, fewer than the length {}: --kv-cache-memory", room,
                 wanted);
  }
  return static_cast<int>(std::min<int64_t>(wanted, room));
}

// Changes whenever the same request might get another answer: with the program, the model's files
// (their names, sizes and times) or how they are computed.
std::string fingerprint(const ServeOptions& options, const LoadedModel& model) {
  std::vector<std::string> files;
  std::vector<std::filesystem::directory_entry> entries;
  if (std::filesystem::is_directory(options.model_dir)) {
    entries.assign(std::filesystem::directory_iterator(options.model_dir), {});
  } else {
    entries.emplace_back(options.model_dir);  // a GGUF file
  }
  for (const auto& entry : entries) {
    std::error_code error;  // links in a circle are no file of the model
    if (!entry.is_regular_file(error)) continue;
    files.push_back(entry.path().filename().string() + " " + std::to_string(entry.file_size()) +
                    " " + std::to_string(entry.last_write_time().time_since_epoch().count()));
  }
  std::sort(files.begin(), files.end());
  const auto weights = std::to_string(static_cast<int>(options.model.quantization));
  std::string text = std::string(SACCADE_VERSION) + "\n" + model.device + " " + model.dtype + " " +
                     model.kv_cache_dtype + " " + weights + "\n";
  for (const std::string& file : files) text += file + "\n";
  const ContentHash hash = sha256(text);
  char digits[13];
  for (int i = 0; i < 6; ++i) std::snprintf(digits + 2 * i, 3, "%02x", hash.bytes[i]);
  return std::string("fp_") + digits;
}

}  // namespace

std::unique_ptr<api::Service> load_service(const ServeOptions& options) {
  LoadedModel model = load_model(options.model_dir, options.model);
  // The user's own template shows videos as he likes.
  if (!options.chat_template.empty()) model.info.video_chat_template.clear();
  api::TextSide text = api::load_text_side(options.model_dir, model.info, options.chat_template);
  const int max_model_len = longest_sequence(options, model);
  api::ServiceOptions service;
  service.names = options.served_model_names;
  service.adapters = options.adapter_names;
  service.fields = options.fields;
  service.image = options.image;
  service.video = options.video;
  service.media = options.media;
  service.max_model_len = max_model_len;
  service.key_limits = options.key_limits;
  service.keyless_limits = options.default_limits;
  service.model_defaults = options.model_defaults;
  service.keepalive = options.keepalive;
  service.fetch = options.fetch;
  service.files = options.files;
  service.responses = options.responses;
  service.allow_chat_template = options.trust_request_chat_template;
  service.seed = options.seed;
  service.chat_template = text.template_source;
  service.fingerprint = fingerprint(options, model);
  service.tool_style =
      tool_style(options.tool_call_parser).value_or(detect_tool_style(text.template_source));
  service.reasoning = options.reasoning_parser == "auto"
                          ? detect_reasoning_style(text.template_source)
                          : reasoning_style(options.reasoning_parser);
  EngineConfig config = engine_config(options, model, max_model_len);
  spdlog::info(
      "{} on {} in {}: {:.0f} MiB of weights, {} KV blocks of {} tokens ({}, {:.0f} MiB), length "
      "{}",
      model.info.family, model.device, model.dtype, model.weight_bytes / 1048576.0,
      model.num_blocks, model.block_size, model.kv_cache_dtype, model.kv_cache_bytes / 1048576.0,
      max_model_len);
  for (const std::string& name : model.unused_tensors) spdlog::warn("unused tensor {}", name);
  for (const std::string& name : api::ignored_generation_fields(options.model_dir)) {
    spdlog::warn("generation_config.json: {} is not obeyed", name);
  }
  return std::make_unique<api::Service>(std::move(service), std::move(model.info), std::move(text),
                                        std::move(config), std::move(model.executor));
}

}  // namespace saccade
