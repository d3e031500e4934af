#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "engine/weights/json.h"

namespace saccade::testing {

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// A safetensors file's bytes with every tensor zeroed whose name contains `part`.
inline std::string with_zeroed(std::string bytes, const std::string& part) {
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const Json names = parse_json(bytes.substr(sizeof(header), header), "header");
  int zeroed = 0;
  for (const JsonMember& member : *names.object()) {
    if (member.key.find(part) == std::string::npos) continue;
    const Json::Array& ends = *member.value.find("data_offsets")->array();
    const int64_t first = *ends[0].integer(), last = *ends[1].integer();
    char* data = bytes.data() + sizeof(header) + header;
    std::memset(data + first, 0, static_cast<size_t>(last - first));
    ++zeroed;
  }
  if (zeroed == 0) throw std::invalid_argument("no tensor is called " + part);
  return bytes;
}

}  // namespace saccade::testing
