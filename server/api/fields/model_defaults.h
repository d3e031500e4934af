#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "server/api/request/generation_options.h"

namespace saccade::api {

// {"served name": {field: value}} of a JSON file: what requests to that name get where they say
// nothing. No file (an empty path): none. Throws LoadError naming file, name and field.
std::map<std::string, Json> read_model_defaults(const std::filesystem::path& file,
                                                const std::vector<std::string>& names,
                                                const ModelLimits& limits);

}  // namespace saccade::api
