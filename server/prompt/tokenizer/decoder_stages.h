#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "server/prompt/tokenizer/decoder.h"
#include "server/prompt/tokenizer/regex.h"

namespace saccade {

std::unique_ptr<Decoder> make_join_decoder();
std::unique_ptr<Decoder> make_byte_level_decoder();
std::unique_ptr<Decoder> make_byte_fallback_decoder();
std::unique_ptr<Decoder> make_fuse_decoder();
// Removes up to `start` times `content` from the start of each token and `stop` times from its end.
std::unique_ptr<Decoder> make_strip_decoder(char32_t content, size_t start, size_t stop);
std::unique_ptr<Decoder> make_replace_decoder(Regex pattern, std::string content);
// `drops_first`: the first token loses its marks instead of turning them into spaces.
std::unique_ptr<Decoder> make_metaspace_decoder(char32_t mark, bool drops_first);
std::unique_ptr<Decoder> make_wordpiece_decoder(std::string prefix, bool cleanup);
std::unique_ptr<Decoder> make_bpe_decoder(std::string suffix);

}  // namespace saccade
