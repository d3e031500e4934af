#include "server/media/file_store.h"

#include <algorithm>
#include <atomic>
#include <random>

#include "server/media/sha256.h"

namespace saccade {
namespace {

constexpr size_t kOverhead = 1024;  // what an entry costs beside its bytes

int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string hex(const ContentHash& hash) {
  std::string text;
  char digits[3];
  for (const uint8_t byte : hash.bytes) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

// 32 hex digits: half of them larger with every file, so that ids are in the order of their
// making, half of them by chance.
std::string new_id() {
  static std::atomic<uint64_t> last{0};
  thread_local std::mt19937_64 generator{std::random_device{}()};
  const auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                         std::chrono::nanoseconds(1));
  uint64_t before = last.load(), mine = 0;
  do {
    mine = std::max(now, before + 1);
  } while (!last.compare_exchange_weak(before, mine));
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(mine),
                static_cast<unsigned long long>(generator()));
  return std::string("file-") + text;
}

size_t cost(const StoredFile& file) { return file.bytes->size() + kOverhead; }

}  // namespace

bool is_file_reference(const std::string& text) {
  return text.starts_with("file-") || text.starts_with("sha256:");
}

Result<StoredFile> FileStore::add(StoredFile file, std::optional<std::chrono::seconds> lifetime) {
  if (cost(file) > limits_.max_bytes) {
    return Status(StatusCode::kPayloadTooLarge,
                  "the file is larger than the store for files, which holds " +
                      std::to_string(limits_.max_bytes) + " bytes",
                  "file");
  }
  file.sha256 = hex(sha256(*file.bytes));
  file.id = new_id();
  file.created_at = unix_now();
  file.expires_at =
      file.created_at + std::min(lifetime.value_or(limits_.max_age), limits_.max_age).count();
  std::lock_guard lock(mutex_);
  drop_expired();
  while (bytes_ + cost(file) > limits_.max_bytes) {
    bytes_ -= cost(files_.back());
    files_.pop_back();
  }
  bytes_ += cost(file);
  files_.push_front(file);
  return file;
}

Result<StoredFile> FileStore::find(const std::string& reference, int owner) {
  std::lock_guard lock(mutex_);
  drop_expired();
  const auto found = locate(reference, owner);
  if (found == files_.end()) return unknown(reference);
  files_.splice(files_.begin(), files_, found);
  return *found;
}

Status FileStore::remove(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  drop_expired();
  const auto found = locate(id, owner);
  if (found == files_.end()) return unknown(id);
  bytes_ -= cost(*found);
  files_.erase(found);
  return {};
}

std::vector<StoredFile> FileStore::list(int owner) {
  std::lock_guard lock(mutex_);
  drop_expired();
  std::vector<StoredFile> own;
  std::copy_if(files_.begin(), files_.end(), std::back_inserter(own),
               [owner](const StoredFile& file) { return file.owner == owner; });
  // Whatever was used in between: pages that follow one another leave nothing out.
  std::sort(own.begin(), own.end(),
            [](const StoredFile& a, const StoredFile& b) { return a.id > b.id; });
  return own;
}

std::list<StoredFile>::iterator FileStore::locate(const std::string& reference, int owner) {
  constexpr std::string_view kHash = "sha256:";
  const bool by_hash = reference.starts_with(kHash);
  const std::string name = by_hash ? reference.substr(kHash.size()) : reference;
  return std::find_if(files_.begin(), files_.end(), [&](const StoredFile& file) {
    return file.owner == owner && (by_hash ? file.sha256 : file.id) == name;
  });
}

void FileStore::drop_expired() {
  const int64_t now = unix_now();
  std::erase_if(files_, [&](const StoredFile& file) {
    if (file.expires_at > now) return false;
    bytes_ -= cost(file);
    return true;
  });
}

Status FileStore::unknown(const std::string& reference) const {
  return Status(StatusCode::kNotFound,
                "there is no file '" + reference.substr(0, 80) +
                    "' here (any more): files are kept for " +
                    std::to_string(limits_.max_age.count()) +
                    " s at most, and while there is room. Send it again with POST /v1/files");
}

}  // namespace saccade
