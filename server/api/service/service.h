#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/engine.h"
#include "engine/core/model_info.h"
#include "server/api/answer/seed_source.h"
#include "server/api/fields/model_defaults.h"
#include "server/api/request/generation_options.h"
#include "server/api/responses/response_store.h"
#include "server/api/service/media_stage.h"
#include "server/api/service/metrics.h"
#include "server/api/service/rate_limiter.h"
#include "server/media/image_processor.h"
#include "server/output/answer/answer_parser.h"
#include "server/output/grammar/compiler.h"
#include "server/prompt/prompt_builder.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade::api {

// The text side of a checkpoint: what the server itself reads of the folder.
struct TextSide {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const Tokenizer> connector_tokenizer;  // null: the model has none
  ModelTemplates templates;
  std::string template_source;  // of the one for chats with tools
  std::optional<ImageProcessor> image_processor;
  std::optional<ImageProcessor> frame_processor;  // of videos
  FrameRule frame_rule;
  TemplateGlobals globals;
  SamplingDefaults defaults;
};

// Throws LoadError naming the file. `template_file` (may be empty) replaces the model's template.
TextSide load_text_side(const std::filesystem::path& folder, const ModelInfo& info,
                        const std::filesystem::path& template_file);

struct ServiceOptions {
  std::vector<std::string> names;     // served model names, at least one
  std::vector<std::string> adapters;  // names of the LoRA adapters, in the executor's order
  FieldLimits fields;
  MediaLimits image;
  VideoLimits video;
  RequestMediaLimits media;
  int max_model_len = 0;                        // of prompt and answer; 0: the model's
  bool allow_chat_template = false;             // of requests
  std::chrono::milliseconds keepalive{10'000};  // a comment in streams that are silent for so long
  std::vector<KeyLimits> key_limits;            // of each API key
  KeyLimits keyless_limits;  // of all without a key together, where none is needed
  std::filesystem::path model_defaults;
  FetchPolicy fetch;
  FileStoreLimits files;
  ResponseStoreLimits responses;
  std::optional<uint64_t> seed;  // of the answers that bring none; none: random
  std::string chat_template;     // told by /props; empty: built in
  std::string fingerprint;       // names this build, this model and how it is computed
  ToolStyle tool_style = ToolStyle::kHermes;
  std::optional<ReasoningStyle> reasoning;  // none: the answer is all content
};

// Counts the requests that are being answered, so that a drain can wait for them.
class InFlight {
 public:
  // Held while a request is answered.
  class Ticket {
   public:
    explicit Ticket(InFlight& counter) : counter_(counter) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    InFlight& counter_;
  };

  // Null once close() was called.
  std::shared_ptr<Ticket> enter();
  void close();
  bool closed() const { return closed_; }
  // False when the deadline passed before the last one left.
  bool wait_until_empty(TimePoint deadline);

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  int count_ = 0;
  std::atomic<bool> closed_{false};
};

// One loaded model with all that the routes need of it. Thread-safe.
class Service {
 public:
  Service(ServiceOptions options, ModelInfo info, TextSide text, EngineConfig engine_config,
          std::unique_ptr<ModelExecutor> executor);

  // kModelNotFound unless `model` is empty, one of the served names or an adapter's.
  Status check_model(const std::string& model) const;
  // Request::adapter for that model.
  int adapter_of(const std::string& model) const;

  // What an answer calls the model: as the request did, else the first name.
  const std::string& name_of(const std::string& model) const {
    return model.empty() ? options.names.front() : model;
  }

  // Of the key that a request brought; -1: none.
  Account& account(int key);
  // Fields that a request to this model gets where it has none; null: there are no such.
  const Json* defaults_of(const std::string& model) const;

  const ServiceOptions options;
  const ModelInfo info;
  const ModelLimits limits;
  const std::shared_ptr<const Tokenizer> tokenizer;
  const std::optional<ImageProcessor> image_processor;
  const std::optional<ImageProcessor> frame_processor;
  const PromptBuilder prompts;
  const int64_t created;  // Unix time the model became ready
  Metrics metrics;
  FileStore files;
  ResponseStore responses;
  MediaStage media;
  GrammarCompiler grammars;
  SeedSource seeds;
  InFlight in_flight;
  Engine engine;

 private:
  std::vector<std::unique_ptr<Account>> accounts_;  // [keys + 1], the last for those without one
  const std::map<std::string, Json> model_defaults_;
};

}  // namespace saccade::api
