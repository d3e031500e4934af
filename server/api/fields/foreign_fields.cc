// What vLLM, llama-server, SGLang and text-generation-inference take beside OpenAI's fields and
// this server's own (vllm/entrypoints/openai/*/protocol.py; tools/server of llama.cpp;
// python/sglang/srt/entrypoints/openai/protocol.py). What would change the answer is refused,
// unless it is set to what asks for nothing; the rest is accepted.

#include "server/api/fields/request_tables.h"

namespace saccade::api {
namespace {

constexpr Field accepted(const char* name, const char* note) {
  Field field{name, FieldType::kCustom};
  field.note = note;
  return field;
}

constexpr Field kForeign[] = {
    // vLLM
    refused_field("use_beam_search", "false", "n, or best_of of completions, draw several answers"),
    refused_field("watermarking", "false"),
    refused_field("logprob_token_ids", "[]"),
    refused_field("thinking_token_budget", "-1"),
    refused_field("repetition_detection", "{}"),
    refused_field("return_prompt_text", "false", "/tokenize tells the prompt's tokens"),
    refused_field("priority", "0", "requests are answered in the order of their arrival"),
    refused_field("prompt_embeds", "[]"),
    refused_field("logits_processors", "[]"),
    refused_field("kv_transfer_params", "{}"),
    refused_field("ec_transfer_params", "{}"),
    accepted("length_penalty", "accepted; of beam search"),
    accepted("early_stopping", "accepted; of beam search"),
    accepted("request_id", "accepted; answers have ids of their own"),
    accepted("session_id", "accepted and not used"),
    accepted("stream_interval", "accepted; tokens are sent as they come"),
    accepted("vllm_xargs", "accepted; of extensions"),
    accepted("guided_decoding_backend", "accepted; there is one"),
    // llama-server
    refused_field("n_predict", "-1", "max_tokens is the bound"),
    refused_field("n_probs", "0", "logprobs tells the likeliest tokens"),
    refused_field("repeat_penalty", "1", "repetition_penalty counts all tokens"),
    refused_field("dynatemp_range", "0"),
    refused_field("typical_p", "1"),
    refused_field("top_n_sigma", "-1|0"),
    refused_field("xtc_probability", "0"),
    refused_field("dry_multiplier", "0"),
    refused_field("mirostat", "0"),
    refused_field("samplers", "[]"),
    refused_field("t_max_predict_ms", "0|-1"),
    refused_field("lora", "[]", "an adapter is chosen by the model's name"),
    refused_field("reasoning_format", R"("auto"|"deepseek")"),
    accepted("cache_prompt", "accepted; prefixes are cached in any case"),
    accepted("id_slot", "accepted; there are no slots"),
    accepted("n_keep", "accepted; no token is ever left out"),
    // SGLang, text-generation-inference
    refused_field("stop_regex", "[]", "stop and stop_token_ids end an answer"),
    refused_field("custom_logit_processor", nullptr),
    refused_field("return_hidden_states", "false"),
    refused_field("separate_reasoning", "true"),
    refused_field("top_n_tokens", "0", "logprobs tells the likeliest tokens"),
};

}  // namespace

const FieldTable kForeignFields = kForeign;

}  // namespace saccade::api
