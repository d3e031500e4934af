#pragma once

#include "engine/core/request.h"
#include "engine/core/scheduler_config.h"
#include "engine/core/status.h"

namespace saccade {

// The check at the door: whatever passes can run to its end on an otherwise empty engine.
// kInvalidArgument says what does not fit or is malformed; any thread.
Status check_request(const Request& request, const SchedulerConfig& config);

}  // namespace saccade
