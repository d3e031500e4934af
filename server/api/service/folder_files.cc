#include "server/api/service/folder_files.h"

#include "engine/weights/file_exists.h"
#include "engine/weights/mapped_file.h"

namespace saccade::api {

std::string read_file(const std::filesystem::path& path) {
  constexpr size_t kMaxBytes = size_t{64} << 20;
  return saccade::read_file(path, path.string(), kMaxBytes);
}

Json read_json(const std::filesystem::path& path) {
  if (!file_exists(path)) return Json::object();
  try {
    Json value = Json::parse(read_file(path));
    if (value.is_object()) return value;
  } catch (const Json::exception&) {  // reported below
  }
  throw LoadError(path.string() + ": not a JSON object");
}

}  // namespace saccade::api
