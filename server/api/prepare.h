#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/request.h"
#include "server/api/service.h"

namespace saccade::api {

// A prompt as the engine takes it.
struct PreparedPrompt {
  std::vector<TokenId> ids;
  std::vector<MediaSpan> spans;
  std::vector<EncoderInput> media;
  int image_tokens = 0;
  int max_tokens = 0;  // of the answer: as asked for, or what the model's length leaves
  // The answer goes on in the middle of the prompt's text: a space it begins with counts. After a
  // chat's prompt it does not, as in the reference's decode() of the new tokens.
  bool continues_text = false;
};

// From messages to ids and pixels: headers of all pictures, template and tokeniser, the check
// against the model's length, and only then the decoding.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    std::optional<int> max_tokens);
// The same with the pictures' headers read already.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    std::vector<ProbedImage> images, std::optional<int> max_tokens);

// A prompt without pictures. `default_max_tokens` counts where the request names none; it is
// shortened to what fits.
Result<PreparedPrompt> prepare_text(const Service& service, std::vector<TokenId> ids,
                                    std::optional<int> max_tokens, int default_max_tokens);

// Counts only: what /tokenize needs. No pixel is decoded.
Result<Prompt> count_chat(Service& service, const Conversation& conversation);

}  // namespace saccade::api
