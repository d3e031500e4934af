#pragma once

#include <filesystem>
#include <vector>

#include "server/api/request/generation_options.h"

namespace saccade::api {

// What the folder's generation_config.json says of answers or, where it has none, what old
// releases wrote of them into config.json. Throws LoadError naming file and field.
SamplingDefaults read_generation_defaults(const std::filesystem::path& folder,
                                          const std::vector<TokenId>& eos_ids);

}  // namespace saccade::api
