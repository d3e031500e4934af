#pragma once

#include <list>
#include <mutex>
#include <string>
#include <unordered_map>

#include "server/api/fields/json.h"
#include "server/prompt/conversation.h"

namespace saccade::api {

struct ResponseStoreLimits {
  size_t max_entries = 4096;
  size_t max_bytes = size_t{256} << 20;  // pictures of the conversations, mostly
};

// One turn that can be gone on from.
struct StoredResponse {
  std::string id;  // "resp_..."
  int owner = -1;  // the API key it came with; nobody else sees it
  Json response;
  Json input;                 // items
  Conversation conversation;  // up to and with the answer, without instructions
};

// The latest responses, within a limit: the longest unused make room. Thread-safe.
class ResponseStore {
 public:
  explicit ResponseStore(ResponseStoreLimits limits) : limits_(limits) {}

  void add(StoredResponse response);
  Result<StoredResponse> find(const std::string& id, int owner);
  // An item of what a response answered, or of its answer. Of several with one id, the latest.
  Result<Json> find_item(const std::string& id, int owner);
  Status remove(const std::string& id, int owner);

 private:
  struct Entry {
    StoredResponse response;
    size_t bytes;
  };
  using Entries = std::list<Entry>;
  Entries::iterator locate(const std::string& id, int owner);
  void erase(Entries::iterator entry);

  const ResponseStoreLimits limits_;
  std::mutex mutex_;
  Entries entries_;                                             // the latest used in front
  std::unordered_map<std::string, Entries::iterator> by_item_;  // by owner and the item's id
  size_t bytes_ = 0;
};

}  // namespace saccade::api
