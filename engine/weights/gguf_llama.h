#pragma once

#include <vector>

#include "engine/weights/gguf.h"

namespace saccade {

// A LLaMA-class decoder in a GGUF file, told in the words of a Hugging Face folder: what
// llama.cpp's convert_hf_to_gguf.py does to such a folder, undone.

// The members of config.json, with the ids that end an answer as eos_token_id. Throws LoadError
// naming the key where the file is of another architecture or uses what `llama` lacks.
Json gguf_config(const GgufFile& file);

// The tensors under their names in model.safetensors; names of no LLaMA decoder stay as they are.
std::vector<TensorView> gguf_tensors(const GgufFile& file);

}  // namespace saccade
