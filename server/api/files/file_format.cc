#include "server/api/files/file_format.h"

#include <set>

#include "server/api/answer/answer.h"

namespace saccade::api {
namespace {

namespace openai {

Json described(const StoredFile& file) {
  return {{"id", file.id},
          {"object", "file"},
          {"bytes", file.bytes->size()},
          {"created_at", file.created_at},
          {"expires_at", file.expires_at},
          {"filename", file.filename},
          {"purpose", file.purpose},
          {"status", "processed"},
          {"status_details", nullptr},
          {"sha256", file.sha256}};
}

Json deleted(const std::string& id) { return {{"id", id}, {"object", "file"}, {"deleted", true}}; }

Result<ListQuery> query(const http::HttpRequest& request) {
  constexpr int kMaxListed = 10'000;
  return read_list_query(request, {{}, {}, false, kMaxListed}, kMaxListed);
}

std::function<bool(const Json&)> shown(const http::HttpRequest& request) {
  const std::string purpose = http::query_value(request.query, "purpose");
  if (purpose.empty()) return nullptr;
  return [purpose](const Json& file) { return file["purpose"] == purpose; };
}

Json page(Json page) { return page; }

}  // namespace openai

namespace anthropic {

constexpr std::string_view kPage = "page_";
constexpr size_t kMostIds = 100;

// Which files alone are asked for, as the clients write lists; none: all.
std::set<std::string> ids_of(const http::HttpRequest& request) {
  std::set<std::string> ids;
  for (const char* name : {"ids[]", "ids"}) {
    for (std::string& id : http::query_values(request.query, name)) ids.insert(std::move(id));
  }
  return ids;
}

Json described(const StoredFile& file) {
  return {{"id", file.id},
          {"type", "file"},
          {"filename", file.filename.empty() ? "unnamed" : file.filename},
          {"mime_type", file.media_type},
          {"size_bytes", file.bytes->size()},
          {"created_at", utc_text(file.created_at)},
          {"expires_at", utc_text(file.expires_at)},
          {"downloadable", true}};
}

Json deleted(const std::string& id) { return {{"id", id}, {"type", "file_deleted"}}; }

Result<ListQuery> query(const http::HttpRequest& request) {
  constexpr int kListed = 20, kMaxListed = 1000;
  Result<ListQuery> query = read_list_query(request, {{}, {}, false, kListed}, kMaxListed);
  if (!query) return query;
  const size_t ids = ids_of(request).size();
  if (ids > kMostIds) return invalid_argument("ids holds more than 100 ids", "ids");
  query->after = http::query_value(request.query, "page");
  const bool paged = !query->after.empty() || !http::query_value(request.query, "limit").empty();
  if (ids > 0 && paged) return invalid_argument("ids excludes page and limit", "ids");
  if (ids > 0) query->limit = kMostIds;
  if (query->after.starts_with(kPage)) query->after.erase(0, kPage.size());
  return query;
}

std::function<bool(const Json&)> shown(const http::HttpRequest& request) {
  const std::set<std::string> ids = ids_of(request);
  if (ids.empty()) return nullptr;
  return [ids](const Json& file) { return ids.contains(file["id"].get<std::string>()); };
}

Json page(Json page) {
  const bool more = page["has_more"] == true;
  page["next_page"] = more ? Json(std::string(kPage) + page["last_id"].get<std::string>()) : Json();
  return page;
}

}  // namespace anthropic

constexpr FileFormat kOpenAi = {openai::described, openai::deleted, openai::query,
                                openai::shown,     openai::page,    ""};
constexpr FileFormat kAnthropic = {anthropic::described, anthropic::deleted, anthropic::query,
                                   anthropic::shown,     anthropic::page,    "user_data"};

}  // namespace

const FileFormat& file_format(const http::HttpRequest& request) {
  return request.other_client ? kAnthropic : kOpenAi;
}

}  // namespace saccade::api
