#include "server/api/file_format.h"

#include "server/api/answer.h"

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

std::string purpose(const http::HttpRequest& request) {
  return http::query_value(request.query, "purpose");
}

Json page(Json page) { return page; }

}  // namespace openai

namespace anthropic {

constexpr std::string_view kPage = "page_";

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
  if (request.query.find("ids") != std::string::npos) {
    return invalid_argument("ids is not supported: ask for each file", "ids");
  }
  query->after = http::query_value(request.query, "page");
  if (query->after.starts_with(kPage)) query->after.erase(0, kPage.size());
  return query;
}

std::string purpose(const http::HttpRequest&) { return {}; }

Json page(Json page) {
  const bool more = page["has_more"] == true;
  page["next_page"] = more ? Json(std::string(kPage) + page["last_id"].get<std::string>()) : Json();
  return page;
}

}  // namespace anthropic

constexpr FileFormat kOpenAi = {openai::described, openai::deleted, openai::query,
                                openai::purpose,   openai::page,    ""};
constexpr FileFormat kAnthropic = {anthropic::described, anthropic::deleted, anthropic::query,
                                   anthropic::purpose,   anthropic::page,    "user_data"};

}  // namespace

const FileFormat& file_format(const http::HttpRequest& request) {
  return request.other_client ? kAnthropic : kOpenAi;
}

}  // namespace saccade::api
