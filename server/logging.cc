#include "server/logging.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include "server/api/fields/json.h"
#include "server/log_sink.h"

namespace saccade {
namespace {

// The message as a JSON string: %* in a pattern.
class JsonMessage : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text(message.payload.begin(), message.payload.end());
    const std::string quoted = api::to_text(text);
    out.append(quoted.data(), quoted.data() + quoted.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return spdlog::details::make_unique<JsonMessage>();
  }
};

}  // namespace

void set_up_log(const ServeOptions& options) {
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("saccade", std::make_shared<StderrSink>()));
  spdlog::set_level(spdlog::level::from_str(options.log_level));
  if (!options.log_json) return spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('*').set_pattern(
      R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%*})");
  spdlog::set_formatter(std::move(formatter));
}

}  // namespace saccade
