#pragma once

#include <vector>

#include "server/api/request/prompt_input.h"
#include "server/api/service/call.h"

namespace saccade::api {

// POST /v1/embeddings in native types.
struct EmbeddingsRequest {
  std::string model;
  std::optional<Conversation> conversation;  // one vector, of text and pictures; else `inputs`
  std::vector<TextOrIds> inputs;
  bool listed = false;  // `input` is a list of them, not one
  Pooling pooling = Pooling::kMean;
  bool normalize = true;   // to length 1, as OpenAI's are
  bool base64 = false;     // little-endian float32
  std::string cache_salt;  // Request::cache_salt
};

Result<EmbeddingsRequest> parse_embeddings_request(const Json& body, const ModelLimits& limits);

http::HttpReply embeddings(Call& call);

}  // namespace saccade::api
