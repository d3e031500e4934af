#include "server/api/chat/fixed_steps.h"

#include <algorithm>
#include <utility>

#include "server/api/answer/prepare.h"

namespace saccade::api {
namespace {

constexpr int64_t kStepTokens = 200;  // of a step whose request does not say

// "Step {n}:" with the number in its place.
std::string prefix_of(const std::string& pattern, int step) {
  constexpr std::string_view kNumber = "{n}";
  std::string prefix = pattern;
  if (const size_t at = prefix.find(kNumber); at != std::string::npos) {
    prefix.replace(at, kNumber.size(), std::to_string(step));
  }
  return prefix;
}

// The assistant's turn that the chat is about to make.
void open_turn(Conversation& conversation) {
  ChatMessage turn;
  turn.role = "assistant";
  turn.plain_string = true;
  turn.parts.push_back({ContentPart::Kind::kText, {}, "reasoning"});
  conversation.messages.push_back(std::move(turn));
  conversation.continue_final_message = true;
  conversation.add_generation_prompt = false;
}

}  // namespace

StepChain::StepChain(Call& call, ChatRequest& chat) : call_(call), chat_(chat) {
  open_turn(chat.conversation);
  options_.sampling = chat.options.sampling;
  options_.sampling.logprobs.reset();
  options_.sampling.prompt_logprobs.reset();
  options_.sampling.min_tokens = 0;
  options_.max_tokens_shrinks = chat.options.max_tokens_shrinks = true;  // fit() has counted
  options_.seed = chat.options.seed;
  options_.adapter = chat.options.adapter;
  options_.cache_salt = chat.options.cache_salt;
  options_.stream = chat.options.stream;
  options_.stop = {chat.steps->stop};
}

Status StepChain::fit(const std::vector<ProbedMedia>& media) {
  const Service& service = call_.service;
  const FixedSteps& asked = *chat_.steps;
  const auto first = count_chat(call_.service, chat_.conversation, media);
  if (!first) return first.status();
  const auto length_of = [&](const std::string& text) {
    return static_cast<int64_t>(
        service.tokenizer->encode(text, {.add_special_tokens = false}).size());
  };
  int64_t between = length_of("\n" + asked.answer_prefix);
  for (int step = 2; step <= asked.steps; ++step) {
    between += length_of("\n" + prefix_of(asked.step_prefix, step));
  }
  const int64_t limit = service.limits.max_model_len;
  const auto prompt = static_cast<int64_t>(first->ids.size());
  const int64_t answer = chat_.options.max_tokens.value_or(1);
  const int64_t room = (limit - prompt - between - answer) / asked.steps;  // of each step
  const int64_t most = asked.max_tokens.value_or(std::clamp<int64_t>(room, 1, kStepTokens));
  options_.max_tokens = static_cast<int>(most);
  if (most <= room) return {};
  const auto number = [](int64_t value) { return std::to_string(value); };
  return Status(StatusCode::kTooLong,
                "this model's maximum context length is " + number(limit) +
                    " tokens, for prompt and answer together; the prompt has " + number(prompt) +
                    ", the steps take up to " + number(asked.steps * most) + ", their prefixes " +
                    number(between) + ", the answer " + number(answer) + ", together " +
                    number(prompt + between + asked.steps * most + answer),
                asked.max_tokens           ? "reasoning.step_max_tokens"
                : chat_.options.max_tokens ? chat_.options.max_tokens_field
                                           : "messages");
}

Result<std::unique_ptr<Generation>> StepChain::next() {
  if (begun_ == chat_.steps->steps) {
    said() += chat_.steps->answer_prefix;
    return std::unique_ptr<Generation>();
  }
  prefix_ = prefix_of(chat_.steps->step_prefix, ++begun_);
  said() += prefix_;
  auto media =
      call_.service.media.probe(chat_.conversation.media(), call_.admission->media_client());
  if (!media) return media.status();
  if (begun_ == 1) {
    if (const Status status = fit(*media); !status.ok()) return status;
  }
  auto prompt = prepare_chat(call_.service, chat_.conversation, *std::move(media), options_,
                             call_.admission.get());
  if (!prompt) return prompt.status();
  if (begun_ == 1) steps_.prompt_tokens = static_cast<int>(prompt->ids.size());
  std::vector<PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  return Generation::start(call_.service, call_.admission, std::move(prompts), options_);
}

std::string StepChain::take(const ChoiceDelta& delta) {
  const std::string text = delta.finish ? delta.text + "\n" : delta.text;
  said() += text;
  steps_.tokens += static_cast<int>(delta.logprobs.size());
  const std::string shown = std::exchange(prefix_, {}) + text;
  steps_.text += shown;
  return shown;
}

}  // namespace saccade::api
