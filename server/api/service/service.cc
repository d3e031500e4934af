#include "server/api/service/service.h"

#include <algorithm>

#include "server/api/answer/answer.h"

namespace saccade::api {
namespace {

ModelLimits model_limits(const ServiceOptions& options, const ModelInfo& info,
                         const SamplingDefaults& defaults) {
  ModelLimits limits;
  limits.vocab_size = info.vocab_size;
  limits.max_model_len = options.max_model_len > 0
                             ? std::min(options.max_model_len, info.max_model_len)
                             : info.max_model_len;
  limits.fields = options.fields;
  limits.defaults = defaults;
  limits.allow_chat_template = options.allow_chat_template;
  return limits;
}

}  // namespace

InFlight::Ticket::~Ticket() {
  std::lock_guard lock(counter_.mutex_);
  if (--counter_.count_ == 0) counter_.empty_.notify_all();
}

std::shared_ptr<InFlight::Ticket> InFlight::enter() {
  std::lock_guard lock(mutex_);
  if (closed_) return nullptr;
  ++count_;
  return std::make_shared<Ticket>(*this);
}

void InFlight::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

bool InFlight::wait_until_empty(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  return empty_.wait_until(lock, deadline, [this] { return count_ == 0; });
}

Service::Service(ServiceOptions service_options, ModelInfo model_info, TextSide text,
                 EngineConfig engine_config, std::unique_ptr<ModelExecutor> executor)
    : options(std::move(service_options)),
      info(std::move(model_info)),
      limits(model_limits(options, info, text.defaults)),
      tokenizer(text.tokenizer),
      image_processor(std::move(text.image_processor)),
      frame_processor(std::move(text.frame_processor)),
      prompts(info, text.tokenizer, text.connector_tokenizer, std::move(text.templates),
              text.globals),
      created(unix_time()),
      metrics(options.names.front()),
      files(options.files),
      responses(options.responses),
      media({image_processor ? &*image_processor : nullptr,
             frame_processor ? &*frame_processor : nullptr, text.frame_rule},
            options.image, options.video, options.media, options.fetch, files, metrics),
      grammars(tokenizer, info.vocab_size, info.eos_ids),
      seeds(options.seed),
      engine(std::move(engine_config), std::move(executor)),
      model_defaults_(read_model_defaults(options.model_defaults, options.names, limits)) {
  for (const KeyLimits& key : options.key_limits) {
    accounts_.push_back(std::make_unique<Account>(key));
  }
  accounts_.push_back(std::make_unique<Account>(options.keyless_limits));
}

Account& Service::account(int key) {
  const bool known = key >= 0 && static_cast<size_t>(key) + 1 < accounts_.size();
  return known ? *accounts_[static_cast<size_t>(key)] : *accounts_.back();
}

const Json* Service::defaults_of(const std::string& model) const {
  const auto found = model_defaults_.find(name_of(model));
  return found == model_defaults_.end() ? nullptr : &found->second;
}

Status Service::check_model(const std::string& model) const {
  const auto& names = options.names;
  if (model.empty() || std::find(names.begin(), names.end(), model) != names.end()) return {};
  if (adapter_of(model) > 0) return {};
  return Status(StatusCode::kModelNotFound,
                "the model '" + model.substr(0, 256) + "' is not served here", "model");
}

int Service::adapter_of(const std::string& model) const {
  const auto found = std::find(options.adapters.begin(), options.adapters.end(), model);
  return found == options.adapters.end() ? 0
                                         : static_cast<int>(found - options.adapters.begin()) + 1;
}

}  // namespace saccade::api
