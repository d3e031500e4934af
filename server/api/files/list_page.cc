#include "server/api/files/list_page.h"

#include <algorithm>
#include <charconv>

namespace saccade::api {

Result<int64_t> positive_number(std::string_view text, const char* field, int64_t max) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > max) {
    return invalid_argument(
        std::string(field) + " must be a number between 1 and " + std::to_string(max), field);
  }
  return value;
}

Result<ListQuery> read_list_query(const http::HttpRequest& request, ListQuery defaults,
                                  int64_t max_limit) {
  ListQuery query = std::move(defaults);
  query.after = http::query_value(request.query, "after");
  const std::string order = http::query_value(request.query, "order");
  if (!order.empty() && order != "asc" && order != "desc") {
    return invalid_argument("order must be asc or desc", "order");
  }
  if (!order.empty()) query.oldest_first = order == "asc";
  if (const std::string limit = http::query_value(request.query, "limit"); !limit.empty()) {
    const auto number = positive_number(limit, "limit", max_limit);
    if (!number) return number.status();
    query.limit = *number;
  }
  return query;
}

Result<Json> list_page(Json items, const ListQuery& query,
                       const std::function<bool(const Json&)>& shown) {
  // The page before an item is read backwards from it.
  const bool backwards = !query.before.empty();
  const std::string& border = backwards ? query.before : query.after;
  if (query.oldest_first != backwards) std::reverse(items.begin(), items.end());
  Json data = Json::array();
  bool started = border.empty(), more = false;
  for (Json& item : items) {
    const bool last_before = item["id"] == border;
    if (started && (!shown || shown(item))) {
      more = static_cast<int64_t>(data.size()) == query.limit;
      if (more) break;
      data.push_back(std::move(item));
    }
    started = started || last_before;
  }
  if (!started) {
    return invalid_argument("what the page is to begin at is not in this list",
                            backwards ? "before" : "after");
  }
  if (backwards) std::reverse(data.begin(), data.end());
  Json first = data.empty() ? Json() : data.front()["id"];
  Json last = data.empty() ? Json() : data.back()["id"];
  return Json{{"object", "list"},
              {"data", std::move(data)},
              {"first_id", std::move(first)},
              {"last_id", std::move(last)},
              {"has_more", more}};
}

}  // namespace saccade::api
