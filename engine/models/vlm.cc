#include "engine/models/vlm.h"

#include <stdexcept>

namespace saccade {

std::vector<at::Tensor> VisionLanguageModel::tower(const std::vector<const EncoderInput*>&) {
  throw std::logic_error("this family's encoder is not in two halves");
}

std::vector<at::Tensor> VisionLanguageModel::connect(const std::vector<const EncoderInput*>&,
                                                     const std::vector<at::Tensor>&) {
  throw std::logic_error("this family's encoder is not in two halves");
}

}  // namespace saccade
