#include "engine/weights/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "engine/core/status.h"

namespace saccade {
namespace {

// An open regular file; closes itself.
class InputFile {
 public:
  InputFile(const std::filesystem::path& path, std::string_view name) : name_(name) {
    // O_NONBLOCK: opening a pipe must not wait for a writer. It has no effect on regular files.
    fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd_ < 0) fail_file(name, std::string("cannot open: ") + std::strerror(errno));
    struct stat info {};
    if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
      ::close(fd_);
      fail_file(name, "not a regular file");
    }
    size_ = static_cast<size_t>(info.st_size);
  }
  ~InputFile() { ::close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int fd() const { return fd_; }
  size_t size() const { return size_; }

  std::string read_all() const {
    std::string text(size_, '\0');
    size_t done = 0;
    while (done < size_) {
      const ssize_t got = ::read(fd_, text.data() + done, size_ - done);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_file(name_, std::string("cannot read: ") + std::strerror(errno));
      if (got == 0) fail_file(name_, "became shorter while it was read");
      done += static_cast<size_t>(got);
    }
    return text;
  }

 private:
  std::string_view name_;
  int fd_ = -1;
  size_t size_ = 0;
};

// The whole pages around a range.
struct Pages {
  void* begin;
  size_t bytes;
};

Pages pages_of(const std::byte* begin, size_t bytes) {
  static const auto kPage = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(begin);
  const uintptr_t first = address / kPage * kPage;
  const uintptr_t last = (address + bytes + kPage - 1) / kPage * kPage;
  return {reinterpret_cast<void*>(first), last - first};
}

}  // namespace

void fail_file(std::string_view name, std::string_view why) {
  throw LoadError(std::string(name) + ": " + std::string(why));
}

std::string read_file(const std::filesystem::path& path, std::string_view name, size_t max_bytes) {
  const InputFile file(path, name);
  if (file.size() > max_bytes) {
    fail_file(name, "too large: " + std::to_string(file.size()) + " bytes, the limit is " +
                        std::to_string(max_bytes));
  }
  return file.read_all();
}

MappedFile::MappedFile(const std::filesystem::path& path, std::string_view name) {
  const InputFile file(path, name);
  if (file.size() == 0) fail_file(name, "empty file");
  void* data = ::mmap(nullptr, file.size(), PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (data == MAP_FAILED) fail_file(name, std::string("cannot map: ") + std::strerror(errno));
  data_ = static_cast<const std::byte*>(data);
  size_ = file.size();
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::drop_pages(const std::byte* begin, size_t bytes) const {
  if (bytes == 0) return;
  const Pages pages = pages_of(begin, bytes);
  // A hint: when the system refuses it, the pages just stay.
  (void)::madvise(pages.begin, pages.bytes, MADV_DONTNEED);
}

void MappedFile::detach_pages(const std::byte* begin, size_t bytes) const {
  if (bytes == 0) return;
  const Pages pages = pages_of(begin, bytes);
  void* copy =
      ::mmap(nullptr, pages.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (copy == MAP_FAILED)
    throw LoadError(std::string("no memory for weights: ") + std::strerror(errno));
  std::memcpy(copy, pages.begin, pages.bytes);
  ::mprotect(copy, pages.bytes, PROT_READ);
  if (::mremap(copy, pages.bytes, pages.bytes, MREMAP_MAYMOVE | MREMAP_FIXED, pages.begin) ==
      MAP_FAILED) {
    ::munmap(copy, pages.bytes);
    throw LoadError(std::string("cannot move weights: ") + std::strerror(errno));
  }
}

}  // namespace saccade
