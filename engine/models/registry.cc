#include "engine/models/registry.h"

#include <vector>

namespace saccade {

namespace {

std::vector<const ModelFamily*> all_families() {
  std::vector<const ModelFamily*> families;
  for (const ModelFamily& family : text_families()) families.push_back(&family);
  for (const ModelFamily* family : {
           &llava_family(),
           &llava_next_family(),
           &llava_next_video_family(),
           &llava_onevision_family(),
           &video_llava_family(),
           &blip2_family(),
           &instructblip_family(),
           &instructblipvideo_family(),
           &minigpt_v2_family(),
           &openflamingo_family(),
           &idefics_family(),
           &idefics2_family(),
           &idefics3_family(),
           &smolvlm_family(),
           &qwen2_vl_family(),
           &qwen2_5_vl_family(),
           &scripted_family(),
       }) {
    families.push_back(family);
  }
  return families;
}

}  // namespace

const ModelFamily& find_family(const ModelFolder& folder) {
  const std::string type = folder.model_type();
  std::string known;
  for (const ModelFamily* family : all_families()) {
    if (family->model_type == type) return *family;
    known += (known.empty() ? "" : ", ") + std::string(family->model_type);
  }
  folder.config().fail("model_type", printable(type) + " is not supported (known: " + known + ")");
}

}  // namespace saccade
