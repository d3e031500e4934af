#include "server/api/folder_files.h"

#include <fstream>
#include <sstream>

namespace saccade::api {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw LoadError(path.string() + ": cannot be read");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Json read_json(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  try {
    Json value = Json::parse(read_file(path));
    if (value.is_object()) return value;
  } catch (const Json::exception&) {  // reported below
  }
  throw LoadError(path.string() + ": not a JSON object");
}

}  // namespace saccade::api
