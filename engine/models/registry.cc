#include "engine/models/registry.h"

#include <vector>

#include "engine/models/pixtral.h"

namespace saccade {

namespace {

std::vector<const ModelFamily*> all_families() {
  std::vector<const ModelFamily*> families;
  for (const ModelFamily& family : text_families()) families.push_back(&family);
  families.push_back(&llava_family());
  families.push_back(&llava_next_family());
  families.push_back(&llava_next_video_family());
  families.push_back(&llava_onevision_family());
  families.push_back(&video_llava_family());
  families.push_back(&blip2_family());
  families.push_back(&instructblip_family());
  families.push_back(&instructblipvideo_family());
  families.push_back(&minigpt_v2_family());
  families.push_back(&openflamingo_family());
  families.push_back(&llama_adapter_family());
  families.push_back(&lavin_family());
  families.push_back(&medvint_family());
  families.push_back(&idefics_family());
  families.push_back(&idefics2_family());
  families.push_back(&idefics3_family());
  families.push_back(&smolvlm_family());
  families.push_back(&qwen2_vl_family());
  families.push_back(&qwen2_5_vl_family());
  families.push_back(&mistral3_family());
  families.push_back(&scripted_family());
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
