#include "engine/bench/inputs.h"

#include <algorithm>
#include <memory>

#include "engine/core/status.h"
#include "engine/core/token_stream.h"

namespace saccade {
namespace {

constexpr int kEncodesPerStep = 8;  // as the server does on a GPU

// Where pictures keep their own size: the square nearest to 448 pixels that the tower can take.
ImageSize picture_size(const ModelInfo& info) {
  if (info.encoder_input.height > 0) return info.encoder_input;
  constexpr int kSide = 448;
  for (int distance = 0; distance < kSide; ++distance) {
    for (const int side : {kSide - distance, kSide + distance}) {
      MediaLayout layout;
      layout.original = layout.part = {side, side};
      if (info.image_tokens(layout) > 0) return layout.part;
    }
  }
  return {kSide, kSide};
}

}  // namespace

SchedulerConfig scheduler_config(const LoadedModel& model, int max_num_batched_tokens, int batch) {
  return {.num_blocks = model.num_blocks,
          .block_size = model.block_size,
          .max_num_seqs = batch,
          .max_num_batched_tokens = std::max(max_num_batched_tokens, batch),
          .max_model_len = model.info.max_model_len,
          .max_encode_per_step = kEncodesPerStep,
          .encoder_cache_tokens = 1 << 16,
          .eos_ids = {},
          .prefix_caching = false,
          .keys = model.info.keys,
          .vocab_size = model.info.vocab_size};
}

Request random_request(const LoadedModel& model, const BenchCase& shape, std::mt19937& random) {
  std::uniform_int_distribution<TokenId> id(0, model.info.vocab_size - 1);
  Request request;
  for (int i = 0; i < shape.prompt_tokens; ++i) request.prompt.push_back(id(random));
  request.sampling.temperature = 0;
  request.sampling.max_tokens = shape.output_tokens;
  request.sampling.ignore_eos = true;
  request.stream = std::make_shared<TokenStream>();
  return request;
}

EncoderInput random_picture(const ModelInfo& info, int index) {
  std::minstd_rand random(static_cast<unsigned>(index) + 1);
  std::uniform_real_distribution<float> pixel(-2, 2);
  auto item = std::make_shared<MediaItem>();
  const ImageSize size = picture_size(info);
  item->height = size.height;
  item->width = size.width;
  item->pixels.resize(size_t{3} * item->height * item->width);
  for (float& x : item->pixels) x = pixel(random);
  item->hash.bytes[0] = static_cast<uint8_t>(index);
  item->hash.bytes[1] = static_cast<uint8_t>(index >> 8);
  EncoderInput input;
  input.key = item->hash;
  input.media = item;
  if (info.instruction_to_connector) input.instruction.assign(16, 1);
  return input;
}

Request random_request_with_picture(const LoadedModel& model, const BenchCase& shape, int index) {
  const ModelInfo& info = model.info;
  const ImageSize size = picture_size(info);
  const int visual = info.image_tokens({.original = size, .part = size});
  if (visual >= shape.prompt_tokens) {
    throw LoadError("--prompt-tokens: a picture alone takes " + std::to_string(visual));
  }
  std::mt19937 random(static_cast<unsigned>(index));
  Request request = random_request(model, shape, random);
  std::fill_n(request.prompt.begin(), visual, std::max(info.image_token, 0));
  request.spans.push_back({.position = 0, .length = visual});
  request.media.push_back(random_picture(info, index));
  return request;
}

}  // namespace saccade
