#pragma once

#include "engine/models/decoder_config.h"
#include "engine/weights/library_version.h"

namespace saccade {

// Makes of the fields what that release of the reference library makes of them
// (ModelFolder::library_version). For every decoder that is read from a folder.
void follow_release(LibraryVersion library_version, DecoderConfig& decoder);

}  // namespace saccade
