#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saccade::api {

// Fields of the folder's generation_config.json that steer the reference's generate() and nothing
// here, where they ask for anything. Throws LoadError where that file is no JSON.
std::vector<std::string> ignored_generation_fields(const std::filesystem::path& folder);

}  // namespace saccade::api
