#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/model_info.h"
#include "engine/models/model_folder.h"
#include "engine/models/vlm.h"
#include "engine/weights/weight_map.h"

namespace saccade {

// One row of the registry: all that the server knows of a `model_type`.
struct ModelFamily {
  std::string_view model_type;
  // File names -> the names `build` asks for; covers the dialects in circulation.
  std::vector<Rename> renames;
  // Parts of (renamed) names that the family leaves unread on purpose, so they are not reported.
  std::vector<std::string> unread;
  // What the server needs to build prompts. Reads JSON only.
  ModelInfo (*describe)(const ModelFolder& folder);
  // The model from its weights.
  std::unique_ptr<VisionLanguageModel> (*build)(const ModelFolder& folder, const WeightScope& root);
  // One line for each part: what `saccade inspect` prints.
  std::vector<std::string> (*summary)(const ModelFolder& folder);
};

// One for each decoder, text alone.
const std::vector<ModelFamily>& text_families();
const ModelFamily& llava_family();
const ModelFamily& blip2_family();
const ModelFamily& llava_next_family();
const ModelFamily& llava_next_video_family();
const ModelFamily& llava_onevision_family();
const ModelFamily& video_llava_family();
const ModelFamily& instructblip_family();
const ModelFamily& lavin_family();
const ModelFamily& llama_adapter_family();
const ModelFamily& medvint_family();
const ModelFamily& minigpt_v2_family();
const ModelFamily& openflamingo_family();
const ModelFamily& idefics_family();
const ModelFamily& instructblipvideo_family();
const ModelFamily& idefics2_family();
const ModelFamily& idefics3_family();
const ModelFamily& smolvlm_family();
const ModelFamily& qwen2_vl_family();
const ModelFamily& qwen2_5_vl_family();
const ModelFamily& scripted_family();

}  // namespace saccade
