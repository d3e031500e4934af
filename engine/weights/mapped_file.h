#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace saccade {

// Throws LoadError "NAME: why".
[[noreturn]] void fail_file(std::string_view name, std::string_view why);

// Reads a whole regular file. Symbolic links are followed; a pipe, device or folder is refused
// without blocking. Throws LoadError "NAME: why".
std::string read_file(const std::filesystem::path& path, std::string_view name, size_t max_bytes);

// A regular file mapped read-only. Throws LoadError like read_file. A file that is cut short by
// somebody else while it is mapped raises SIGBUS on access, as with every mapping.
class MappedFile {
 public:
  MappedFile(const std::filesystem::path& path, std::string_view name);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }

  // Gives the pages that hold [begin, begin + bytes) back to the system; they are read again from
  // the file when touched.
  void drop_pages(const std::byte* begin, size_t bytes) const;

  // Puts copies of the pages that hold [begin, begin + bytes) in their place: what somebody does to
  // the file no longer reaches them. Not to be dropped afterwards. Throws LoadError when memory
  // lacks.
  void detach_pages(const std::byte* begin, size_t bytes) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace saccade
