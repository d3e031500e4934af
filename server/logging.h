#pragma once

#include "server/options.h"

namespace saccade {

// Messages go to stderr, as text or as one JSON object a line.
void set_up_log(const ServeOptions& options);

}  // namespace saccade
