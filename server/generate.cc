#include <cstdio>
#include <fstream>
#include <sstream>

#include "server/api/generation.h"
#include "server/commands.h"
#include "server/logging.h"

namespace saccade {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file) throw std::runtime_error(path.string() + ": cannot be read");
  return bytes.str();
}

[[noreturn]] void fail(const Status& status) { throw std::runtime_error(status.message()); }

std::vector<api::ProbedImage> probe_files(const std::vector<std::filesystem::path>& paths,
                                          const MediaLimits& limits) {
  std::vector<api::ProbedImage> images;
  for (const auto& path : paths) {
    std::string bytes = read_file(path);
    const Result<ImageHeader> header = probe_image(bytes, limits);
    if (!header) throw std::runtime_error(path.string() + ": " + header.status().message());
    images.push_back({std::move(bytes), *header, path.string()});
  }
  return images;
}

Conversation one_question(const GenerateOptions& options) {
  ChatMessage message;
  message.role = "user";
  message.plain_string = options.images.empty();
  for (const auto& path : options.images) {
    message.parts.push_back({ContentPart::Kind::kImage, path.string(), {}});
  }
  message.parts.push_back({ContentPart::Kind::kText, options.prompt, {}});
  Conversation conversation;
  conversation.messages.push_back(std::move(message));
  return conversation;
}

}  // namespace

int run_generate(const ServeOptions& options, const GenerateOptions& generate) {
  set_up_log(options);
  const auto service = load_service(options);
  std::vector<api::ProbedImage> images = probe_files(generate.images, options.image);
  if (!images.empty() && !service->image_processor) {
    throw std::runtime_error("this model takes text only, no pictures");
  }
  const auto max_tokens =
      generate.max_tokens > 0 ? std::optional<int>(generate.max_tokens) : std::nullopt;
  Result<api::PreparedPrompt> prompt = api::prepare_chat(
      *service, one_question(generate), std::move(images), {max_tokens, {}}, nullptr);
  if (!prompt) fail(prompt.status());
  api::GenerationOptions generation_options;
  generation_options.sampling.temperature = generate.temperature;
  std::vector<api::PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation =
      api::Generation::start(*service, nullptr, std::move(prompts), generation_options);
  if (!generation) fail(generation.status());
  while (!(*generation)->done()) {
    const auto delta = (*generation)->next(TimePoint::max());
    if (!delta) fail(delta.status());
    if (!*delta) continue;
    std::fwrite((*delta)->text.data(), 1, (*delta)->text.size(), stdout);
    std::fflush(stdout);
  }
  std::fputc('\n', stdout);
  return 0;
}

int run_inspect(const std::filesystem::path& folder) {
  std::fputs(inspect_model(folder).c_str(), stdout);
  return 0;
}

}  // namespace saccade
