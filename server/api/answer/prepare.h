#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/request.h"
#include "server/api/service/call.h"
#include "server/api/service/service.h"

namespace saccade::api {

// A prompt as the engine takes it.
struct PreparedPrompt {
  std::vector<TokenId> ids;
  std::vector<MediaSpan> spans;
  std::vector<EncoderInput> media;
  int image_tokens = 0;
  int max_tokens = 0;  // of the answer: as asked for, or what the model's length leaves
  int score_from = 1;  // the first position whose log-probability counts, where they are asked for
  double media_decode_seconds = 0;
  double media_preprocess_seconds = 0;
  // The answer goes on in the middle of the prompt's text: a space it begins with counts. After a
  // chat's prompt it does not, as in the reference's decode() of the new tokens.
  bool continues_text = false;
};

// What a request says of its prompt: of its length and the answer's, and of who shares what it
// leaves in caches.
struct PromptOptions {
  std::optional<int> max_tokens;       // none: what the model's length leaves
  std::optional<int> truncate_prompt;  // keep this many last tokens; -1: what fits
  const char* max_tokens_field = "max_tokens";
  bool truncate_right = false;  // keep the first tokens instead
  std::string cache_salt = {};  // Request::cache_salt: encoder outputs, too, are shared by it
};

// From messages to ids and pixels: headers of all pictures and videos, template and tokeniser, the
// check against the model's length, and only then the decoding. `admission` (may be null) pays for
// the pixels.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    const PromptOptions& options, Admission* admission);
// The same with the headers of pictures and videos read already.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    std::vector<ProbedMedia> media, const PromptOptions& options,
                                    Admission* admission);

// A prompt without pictures. `default_max_tokens` counts where the request names none; it is
// shortened to what fits.
Result<PreparedPrompt> prepare_text(const Service& service, std::vector<TokenId> ids,
                                    const PromptOptions& options, int default_max_tokens);

// Counts only: what /tokenize needs. No pixel is decoded.
// `owner`: the API key whose stored files may be referred to.
Result<Prompt> count_chat(Service& service, const Conversation& conversation, int owner);

}  // namespace saccade::api
