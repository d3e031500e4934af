#pragma once

#include <functional>
#include <string>

#include "server/api/fields/json.h"
#include "server/http/http_server.h"

namespace saccade::api {

// Which page of a list is wanted: ?limit=, after= (an id) and order= (asc or desc).
struct ListQuery {
  std::string after;   // begins behind this one; empty: at the beginning
  std::string before;  // ends before this one; empty: `after` counts
  bool oldest_first = false;
  int64_t limit = 0;
};

// What the request does not say is as in `defaults`.
Result<ListQuery> read_list_query(const http::HttpRequest& request, ListQuery defaults,
                                  int64_t max_limit);

// That page of `items`, which come the newest first and each have an id. `shown` (null: all) says
// which of them are wanted; `after` and `before` may be any. kInvalidArgument where they are none.
Result<Json> list_page(Json items, const ListQuery& query,
                       const std::function<bool(const Json&)>& shown = nullptr);

// A number of the query or of a form, from 1 to `max`.
Result<int64_t> positive_number(std::string_view text, const char* field, int64_t max);

}  // namespace saccade::api
