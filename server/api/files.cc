#include "server/api/files.h"

#include <set>

#include "server/api/answer.h"
#include "server/api/list_page.h"
#include "server/api/messages.h"
#include "server/http/multipart.h"
#include "server/media/image_probe.h"

namespace saccade::api {
namespace {

constexpr int kMaxListed = 10'000;
constexpr int kLongest = 2'592'000;  // lifetime [s]
// Anthropic's.
constexpr int kMaxListedOfMessages = 1000, kListedOfMessages = 20, kLongestOfMessages = 7'776'000;

std::string mime_type(const StoredFile& file, const MediaLimits& limits) {
  const auto header = probe_image(*file.bytes, limits);  // as it was when the file came
  std::string kind(header ? format_name(header->format) : "png");
  for (char& c : kind) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return "image/" + kind;
}

// As Anthropic's clients know a file.
Json metadata_json(const StoredFile& file, const MediaLimits& limits) {
  return {{"id", file.id},
          {"type", "file"},
          {"filename", file.filename.empty() ? "unnamed" : file.filename},
          {"mime_type", mime_type(file, limits)},
          {"size_bytes", file.bytes->size()},
          {"created_at", utc_text(file.created_at)},
          {"expires_at", utc_text(file.expires_at)},
          {"downloadable", true}};
}

Json file_json(const StoredFile& file) {
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

Json described(const Service& service, const http::HttpRequest& request, const StoredFile& file) {
  return request.other_client ? metadata_json(file, service.options.image) : file_json(file);
}

http::HttpReply failure(const http::HttpRequest& request, const Status& status) {
  http::HttpReply reply = error_response(status);
  if (request.other_client) {
    reply.body = message_error_body(reply.status, status.message(), status.param(), {});
  }
  return reply;
}

struct Upload {
  StoredFile file;
  std::optional<std::chrono::seconds> lifetime;
};

Result<Upload> read_upload(const http::HttpRequest& request) {
  const auto parts = http::parse_multipart(request.content_type, request.body);
  if (!parts) return parts.status();
  Upload upload;
  std::set<std::string> seen;
  for (const http::FormPart& part : *parts) {
    if (!seen.insert(part.name).second) {
      return invalid_argument(part.name.substr(0, 64) + " is there twice", part.name.substr(0, 64));
    }
    if (part.name == "file") {
      upload.file.bytes = std::make_shared<const std::string>(part.body);
      upload.file.filename = part.filename.substr(0, 256);
    } else if (part.name == "purpose") {
      upload.file.purpose = std::string(part.body);
    } else if (part.name == "expires_after[anchor]" && part.body != "created_at") {
      return invalid_argument("expires_after[anchor] must be created_at", part.name);
    } else if (part.name == "expires_after[seconds]" || part.name == "expires_in_seconds") {
      const int longest = part.name == "expires_in_seconds" ? kLongestOfMessages : kLongest;
      const auto seconds = positive_number(part.body, part.name.c_str(), longest);
      if (!seconds) return seconds.status();
      upload.lifetime = std::chrono::seconds(*seconds);
    }
  }
  if (upload.file.bytes == nullptr) return invalid_argument("file is missing", "file");
  if (request.other_client && upload.file.purpose.empty()) upload.file.purpose = "vision";
  if (upload.file.purpose != "vision" && upload.file.purpose != "user_data") {
    return invalid_argument("purpose must be vision: pictures are all that is taken here",
                            "purpose");
  }
  return upload;
}

}  // namespace

http::HttpReply upload_file(Service& service, http::HttpRequest& request, http::Client&) {
  Result<Upload> upload = read_upload(request);
  request.free_body();
  if (!upload) return failure(request, upload.status());
  const auto header = probe_image(*upload->file.bytes, service.options.image);
  if (!header) return failure(request, header.status().with_param("file"));
  upload->file.owner = request.key;
  const auto stored = service.files.add(std::move(upload->file), upload->lifetime);
  if (!stored) return failure(request, stored.status());
  return http::json_reply(to_text(described(service, request, *stored)));
}

http::HttpReply list_files(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr std::string_view kPage = "page_";
  const bool other = request.other_client;
  auto query = other
                   ? read_list_query(request, {{}, false, kListedOfMessages}, kMaxListedOfMessages)
                   : read_list_query(request, {{}, false, kMaxListed}, kMaxListed);
  if (!query) return failure(request, query.status());
  if (other) {
    if (request.query.find("ids") != std::string::npos) {
      return failure(request, invalid_argument("ids is not supported: ask for each file", "ids"));
    }
    query->after = http::query_value(request.query, "page");
    if (query->after.starts_with(kPage)) query->after.erase(0, kPage.size());
  }
  const std::string purpose = http::query_value(request.query, "purpose");
  Json files = Json::array();
  for (const StoredFile& file : service.files.list(request.key)) {
    files.push_back(described(service, request, file));
  }
  auto page = list_page(std::move(files), *query, [&](const Json& file) {
    return purpose.empty() || other || file["purpose"] == purpose;
  });
  if (!page) return failure(request, page.status());
  if (other) {
    const bool more = (*page)["has_more"] == true;
    (*page)["next_page"] =
        more ? Json(std::string(kPage) + (*page)["last_id"].get<std::string>()) : Json();
  }
  return http::json_reply(to_text(*page));
}

http::HttpReply get_file(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr std::string_view kContent = "/content";
  std::string id = request.suffix;
  const bool content = id.ends_with(kContent);
  if (content) id.resize(id.size() - kContent.size());
  const auto file = service.files.find(id, request.key);
  if (!file) return failure(request, file.status().with_param("file_id"));
  if (!content) return http::json_reply(to_text(described(service, request, *file)));
  http::HttpReply reply = http::json_reply(*file->bytes);
  reply.content_type = "application/octet-stream";
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

http::HttpReply delete_file(Service& service, http::HttpRequest& request, http::Client&) {
  const Status status = service.files.remove(request.suffix, request.key);
  if (!status.ok()) return failure(request, status.with_param("file_id"));
  if (request.other_client) {
    return http::json_reply(to_text({{"id", request.suffix}, {"type", "file_deleted"}}));
  }
  return http::json_reply(to_text({{"id", request.suffix}, {"object", "file"}, {"deleted", true}}));
}

}  // namespace saccade::api
