#include "engine/models/registry.h"

#include <array>

namespace saccade {

const ModelFamily& find_family(const ModelFolder& folder) {
  static const std::array<const ModelFamily*, 3> families = {&llama_family(), &llava_family(),
                                                             &instructblip_family()};
  const std::string type = folder.model_type();
  std::string known;
  for (const ModelFamily* family : families) {
    if (family->model_type == type) return *family;
    known += (known.empty() ? "" : ", ") + std::string(family->model_type);
  }
  folder.config().fail("model_type", printable(type) + " is not supported (known: " + known + ")");
}

}  // namespace saccade
