#pragma once

#include <string>

#include "server/api/files/list_page.h"
#include "server/media/file_store.h"

namespace saccade::api {

// How one kind of client asks for files and reads what is said of them.
struct FileFormat {
  Json (*described)(const StoredFile& file);
  Json (*deleted)(const std::string& id);
  // Which page of the list is asked for; kInvalidArgument.
  Result<ListQuery> (*query)(const http::HttpRequest& request);
  // Which of the described files are to be listed; null: all.
  std::function<bool(const Json& file)> (*shown)(const http::HttpRequest& request);
  // Takes what list_page made of it.
  Json (*page)(Json page);
  // What an upload is for that does not say; empty: it has to.
  const char* default_purpose;
};

// OpenAI's, or Anthropic's where the request comes from one of its clients.
const FileFormat& file_format(const http::HttpRequest& request);

}  // namespace saccade::api
