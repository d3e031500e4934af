#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/types.h"

namespace saccade {

struct FileStoreLimits {
  size_t max_bytes = size_t{256} << 20;  // of all files; the longest unused make room for new ones
  std::chrono::seconds max_age{86400};   // after that a file is gone
};

// A picture or a text that was sent once, to be referred to later. The bytes are shared and never
// change.
struct StoredFile {
  bool is_picture() const { return media_type.starts_with("image/"); }

  std::string id;  // "file-..."
  std::string filename;
  std::string purpose;
  std::string media_type;  // "image/png", "text/plain"
  std::string sha256;      // 64 hex digits
  std::shared_ptr<const std::string> bytes;
  int64_t created_at = 0;  // Unix time
  int64_t expires_at = 0;
  int owner = -1;  // the API key it came with; nobody else sees it
};

// Files in memory, within a limit and for a time. Thread-safe.
class FileStore {
 public:
  explicit FileStore(FileStoreLimits limits) : limits_(limits) {}

  // Fills in id, hash and times. kPayloadTooLarge when it would not fit even alone. `lifetime`
  // may only shorten the store's own.
  Result<StoredFile> add(StoredFile file, std::optional<std::chrono::seconds> lifetime);
  // By "file-..." or "sha256:" and 64 hex digits. kNotFound, saying what to do.
  Result<StoredFile> find(const std::string& reference, int owner);
  Status remove(const std::string& id, int owner);
  std::vector<StoredFile> list(int owner);  // newest first

 private:
  std::list<StoredFile>::iterator locate(const std::string& reference, int owner);
  void drop_expired();
  Status unknown(const std::string& reference) const;

  const FileStoreLimits limits_;
  std::mutex mutex_;
  std::list<StoredFile> files_;  // the latest used in front
  size_t bytes_ = 0;
};

// Whether a picture's URL is no URL but refers to a stored file.
bool is_file_reference(const std::string& text);

}  // namespace saccade
