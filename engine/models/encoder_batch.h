#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/core/media.h"

namespace saccade {

// Parts of all inputs, in order, as one float32 tensor [parts, 3, height, width] on the CPU. Throws
// std::invalid_argument naming the sizes when an item has another one.
at::Tensor stack_pixels(const std::vector<const EncoderInput*>& inputs, int height, int width);

// Parts of one input: [parts, 3, height, width] float32 on the CPU, a view of its memory.
at::Tensor item_pixels(const EncoderInput& input);

// The same part by part, where they may differ in size: each [3, height, width].
std::vector<at::Tensor> item_parts(const EncoderInput& input);

// What belongs to each input of [parts, ...] of all of them: views of [parts of it, ...].
std::vector<at::Tensor> split_parts(const at::Tensor& all,
                                    const std::vector<const EncoderInput*>& inputs);

// Rows of each input from those of all its parts: [parts, k, H] -> one [parts of it * k, H] each.
std::vector<at::Tensor> join_parts(const at::Tensor& rows,
                                   const std::vector<const EncoderInput*>& inputs);

}  // namespace saccade
