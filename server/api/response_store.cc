#include "server/api/response_store.h"

#include <algorithm>

namespace saccade::api {
namespace {

size_t cost(const StoredResponse& response) {
  size_t bytes = 1024 + to_text(response.response).size() + to_text(response.input).size();
  for (const ChatMessage& message : response.conversation.messages) {
    bytes += 256 + to_text(message.extra).size();
    for (const ContentPart& part : message.parts) bytes += 128 + part.text.size();
  }
  return bytes;
}

Status unknown(const std::string& id) {
  return Status(StatusCode::kNotFound,
                "there is no response '" + id.substr(0, 80) +
                    "' here (any more): the latest are kept, while there is room");
}

}  // namespace

void ResponseStore::add(StoredResponse response) {
  const size_t bytes = cost(response);
  if (bytes > limits_.max_bytes) return;
  std::lock_guard lock(mutex_);
  while (!entries_.empty() &&
         (bytes_ + bytes > limits_.max_bytes || entries_.size() >= limits_.max_entries)) {
    bytes_ -= entries_.back().bytes;
    entries_.pop_back();
  }
  bytes_ += bytes;
  entries_.push_front({std::move(response), bytes});
}

Result<StoredResponse> ResponseStore::find(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  const auto found = locate(id, owner);
  if (found == entries_.end()) return unknown(id);
  entries_.splice(entries_.begin(), entries_, found);
  return found->response;
}

Status ResponseStore::remove(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  const auto found = locate(id, owner);
  if (found == entries_.end()) return unknown(id);
  bytes_ -= found->bytes;
  entries_.erase(found);
  return {};
}

std::list<ResponseStore::Entry>::iterator ResponseStore::locate(const std::string& id, int owner) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.response.id == id && entry.response.owner == owner;
  });
}

}  // namespace saccade::api
