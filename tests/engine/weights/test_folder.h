#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/core/status.h"

namespace saccade::testing {

// A fresh folder that goes away with the test.
class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "saccade-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = pattern;
  }
  ~TestFolder() { remove_tree(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::filesystem::remove(path_ / name);  // replacing a file in place makes ext4 flush it
    std::ofstream(path_ / name, std::ios::binary).write(content.data(), content.size());
    return path_ / name;
  }

 private:
  // Not std::filesystem::remove_all: CUDA builds of libtorch export that of the compiler they were
  // made with, which breaks on the iterators of another.
  static void remove_tree(const std::filesystem::path& place) {
    std::error_code ignored;
    if (std::filesystem::is_directory(std::filesystem::symlink_status(place, ignored))) {
      for (const auto& entry : std::filesystem::directory_iterator(place, ignored)) {
        remove_tree(entry.path());
      }
    }
    std::filesystem::remove(place, ignored);
  }

  std::filesystem::path path_;
};

// The bytes of a safetensors file with this header text and `data_bytes` bytes 0, 1, 2, ...
inline std::string safetensors_bytes(std::string_view header, size_t data_bytes) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i));
  out += header;
  for (size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i);
  return out;
}

// What a call throws as LoadError; "" when it does not.
template <typename Call>
std::string load_error_of(Call call) {
  try {
    call();
  } catch (const LoadError& error) {
    return error.what();
  }
  return "";
}

}  // namespace saccade::testing
