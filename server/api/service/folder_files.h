#pragma once

#include <filesystem>
#include <string>

#include "server/api/fields/json.h"

// Files of a checkpoint folder, whole.
namespace saccade::api {

// LoadError when it cannot be read, or has more than 64 MiB.
std::string read_file(const std::filesystem::path& path);

// An empty object when there is no such file; LoadError when it holds no JSON object.
Json read_json(const std::filesystem::path& path);

}  // namespace saccade::api
