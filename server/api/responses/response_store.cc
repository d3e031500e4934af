#include "server/api/responses/response_store.h"

#include <algorithm>

namespace saccade::api {
namespace {

constexpr size_t kIndexBytes = 256;  // what finding an item by its id costs

// Calls `see` with every item that has an id, until it returns true.
template <typename See>
void for_items(const StoredResponse& response, See see) {
  for (const Json* items : {&response.response.at("output"), &response.input}) {
    for (const Json& item : *items) {
      const auto id = item.find("id");
      if (id == item.end() || !id->is_string()) continue;
      if (see(id->get_ref<const std::string&>(), item)) return;
    }
  }
}

std::string item_key(const std::string& id, int owner) { return std::to_string(owner) + "/" + id; }

size_t cost(const StoredResponse& response) {
  size_t bytes = 1024 + memory_of(response.response) + memory_of(response.input);
  bytes += kIndexBytes * (response.response.at("output").size() + response.input.size());
  for (const ChatMessage& message : response.conversation.messages) {
    bytes += 256 + memory_of(message.extra);
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
    erase(std::prev(entries_.end()));
  }
  bytes_ += bytes;
  entries_.push_front({std::move(response), bytes});
  const StoredResponse& added = entries_.front().response;
  for_items(added, [&](const std::string& id, const Json&) {
    by_item_[item_key(id, added.owner)] = entries_.begin();
    return false;
  });
}

Result<StoredResponse> ResponseStore::find(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  const auto found = locate(id, owner);
  if (found == entries_.end()) return unknown(id);
  entries_.splice(entries_.begin(), entries_, found);
  return found->response;
}

Result<Json> ResponseStore::find_item(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  const auto found = by_item_.find(item_key(id, owner));
  if (found == by_item_.end()) {
    return Status(StatusCode::kNotFound,
                  "there is no item '" + id.substr(0, 80) +
                      "' here (any more): items are kept with their response, unless its store is "
                      "false, and while there is room. Send the item itself");
  }
  Json wanted;
  for_items(found->second->response, [&](const std::string& other, const Json& item) {
    if (other == id) wanted = item;
    return other == id;
  });
  entries_.splice(entries_.begin(), entries_, found->second);
  return wanted;
}

Status ResponseStore::remove(const std::string& id, int owner) {
  std::lock_guard lock(mutex_);
  const auto found = locate(id, owner);
  if (found == entries_.end()) return unknown(id);
  erase(found);
  return {};
}

void ResponseStore::erase(Entries::iterator entry) {
  for_items(entry->response, [&](const std::string& id, const Json&) {
    const auto found = by_item_.find(item_key(id, entry->response.owner));
    if (found != by_item_.end() && found->second == entry) by_item_.erase(found);
    return false;
  });
  bytes_ -= entry->bytes;
  entries_.erase(entry);
}

ResponseStore::Entries::iterator ResponseStore::locate(const std::string& id, int owner) {
  return std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.response.id == id && entry.response.owner == owner;
  });
}

}  // namespace saccade::api
