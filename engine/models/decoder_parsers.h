#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/core/types.h"
#include "engine/models/decoder_config.h"
#include "engine/weights/json.h"

namespace saccade {

// Far above any model's: the rotary frequencies are made before a tensor has confirmed the width.
inline constexpr int kMaxHeadDim = 4096;
// And layers: flags of each are made before a tensor has confirmed their number.
inline constexpr int kMaxLayers = 4096;

// Heads, as many for keys, that share hidden_size (the field `width`) evenly; their scale; no layer
// slides. Throws LoadError naming `key`, which says how many. After num_layers.
void share_width_among_heads(DecoderConfig& decoder, const JsonView& config, const char* key,
                             int fallback, const std::string& width);

// Proportional rope gives whole heads a frequency: the reference fails where a part of each turns.
// Throws LoadError naming the field.
void refuse_proportional(const RopeConfig& rope, const JsonView& config);

// The end id of the type's class, for folders that name none.
std::optional<TokenId> default_eos_id(std::string_view type);

// Decoders with a file of their own.
DecoderConfig parse_mpt(const JsonView& config);
DecoderConfig parse_mosaic_gpt(const JsonView& config);
DecoderConfig parse_gpt_neox(const JsonView& config);

}  // namespace saccade
