#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/core/request.h"
#include "server/api/request/generation_options.h"
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

// From messages to ids and pixels: headers of all pictures and videos, template and tokeniser, the
// check against the model's length, and only then the decoding. `admission` (may be null) pays for
// the pixels. Of `options` counts what concerns the prompt: its length and the answer's, and who
// shares what it leaves in caches.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    const GenerationOptions& options, Admission* admission);
// The same with the headers of pictures and videos read already.
Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    std::vector<ProbedMedia> media,
                                    const GenerationOptions& options, Admission* admission);

// A prompt without pictures. `default_max_tokens` counts where the request names none; it is
// shortened to what fits.
Result<PreparedPrompt> prepare_text(const Service& service, std::vector<TokenId> ids,
                                    const GenerationOptions& options, int default_max_tokens);

// Counts only: what /tokenize needs. No pixel is decoded.
Result<Prompt> count_chat(Service& service, const Conversation& conversation,
                          const MediaClient& client);
// The same with the headers of pictures and videos read already.
Result<Prompt> count_chat(Service& service, const Conversation& conversation,
                          const std::vector<ProbedMedia>& media);

}  // namespace saccade::api
