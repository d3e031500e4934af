#pragma once

#include <string_view>

#include "server/prompt/tokenizer/tokenizer_config.h"

namespace saccade {

// Gives the special tokens that transformers' class of that name has where the files name none
// (those they call null stay away): their slots, and first places among config.named.
void use_class_tokens(std::string_view name, TokenizerConfig& config);

}  // namespace saccade
