#pragma once

#include "engine/models/family.h"

namespace saccade {

// The family of a folder's model_type. Throws LoadError naming the field and the known types.
const ModelFamily& find_family(const ModelFolder& folder);

}  // namespace saccade
