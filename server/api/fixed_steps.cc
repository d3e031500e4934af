#include "server/api/fixed_steps.h"

#include "server/api/answer.h"
#include "server/api/generation.h"
#include "server/api/prepare.h"

namespace saccade::api {
namespace {

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
std::string& open_turn(Conversation& conversation) {
  ChatMessage turn;
  turn.role = "assistant";
  turn.plain_string = true;
  turn.parts.push_back({ContentPart::Kind::kText, {}, "reasoning"});
  conversation.messages.push_back(std::move(turn));
  conversation.continue_final_message = true;
  conversation.add_generation_prompt = false;
  return conversation.messages.back().parts.front().text;
}

}  // namespace

Result<Steps> think_in_steps(Call& call, ChatRequest& chat) {
  const FixedSteps& wanted = *chat.steps;
  Steps steps;
  std::string& said = open_turn(chat.conversation);
  GenerationOptions options;
  options.sampling = chat.options.sampling;
  options.sampling.logprobs.reset();
  options.sampling.prompt_logprobs.reset();
  options.sampling.min_tokens = 0;
  options.seed = chat.options.seed;
  options.adapter = chat.options.adapter;
  options.stop = {wanted.stop};
  const LengthOptions length{wanted.max_tokens, std::nullopt, "reasoning.step_max_tokens"};
  for (int step = 1; step <= wanted.steps; ++step) {
    said += prefix_of(wanted.step_prefix, step);
    auto prompt = prepare_chat(call.service, chat.conversation, length, call.admission.get());
    if (!prompt) return prompt.status();
    if (step == 1) steps.prompt_tokens = static_cast<int>(prompt->ids.size());
    std::vector<PreparedPrompt> prompts;
    prompts.push_back(*std::move(prompt));
    auto generation = Generation::start(call.service, call.admission, std::move(prompts), options);
    if (!generation) return generation.status();
    auto answer = collect(**generation, call.client);
    if (!answer) return answer.status();
    said += answer->front().text + "\n";
    steps.tokens += (*generation)->usage().completion_tokens;
  }
  steps.text = said;
  said += wanted.answer_prefix;
  return steps;
}

}  // namespace saccade::api
