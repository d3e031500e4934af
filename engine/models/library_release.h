#pragma once

#include <utility>

#include "engine/models/decoder_config.h"

namespace saccade {

// Makes of the fields what that release of the reference library makes of them
// (ModelFolder::library_version). For every decoder that is read from a folder.
void follow_release(std::pair<int, int> library_version, DecoderConfig& decoder);

}  // namespace saccade
