#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/core/model_info.h"
#include "engine/models/family.h"
#include "engine/models/model_folder.h"
#include "engine/models/vlm.h"
#include "engine/weights/weight_map.h"

// LLaVA with a Pixtral tower, what llava.cc hands on for folders whose tower is one, and Mistral 3.
namespace saccade {

bool has_pixtral_tower(const ModelFolder& folder);
ModelInfo describe_pixtral(const ModelFolder& folder);
std::unique_ptr<VisionLanguageModel> build_pixtral(const ModelFolder& folder,
                                                   const WeightScope& root);
std::vector<std::string> pixtral_summary(const ModelFolder& folder);

const ModelFamily& mistral3_family();

}  // namespace saccade
