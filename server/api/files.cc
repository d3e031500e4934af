#include "server/api/files.h"

#include "server/api/answer.h"
#include "server/api/list_page.h"
#include "server/http/multipart.h"
#include "server/media/image_probe.h"

namespace saccade::api {
namespace {

constexpr int kMaxListed = 10'000;

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

struct Upload {
  StoredFile file;
  std::optional<std::chrono::seconds> lifetime;
};

Result<Upload> read_upload(const http::HttpRequest& request) {
  const auto parts = http::parse_multipart(request.content_type, request.body);
  if (!parts) return parts.status();
  Upload upload;
  for (const http::FormPart& part : *parts) {
    if (part.name == "file") {
      upload.file.bytes = std::make_shared<const std::string>(part.body);
      upload.file.filename = part.filename.substr(0, 256);
    } else if (part.name == "purpose") {
      upload.file.purpose = std::string(part.body);
    } else if (part.name == "expires_after[seconds]") {
      const auto seconds = positive_number(part.body, "expires_after[seconds]", 2'592'000);
      if (!seconds) return seconds.status();
      upload.lifetime = std::chrono::seconds(*seconds);
    }
  }
  if (upload.file.bytes == nullptr) return invalid_argument("file is missing", "file");
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
  if (!upload) return error_response(upload.status());
  const auto header = probe_image(*upload->file.bytes, service.options.image);
  if (!header) return error_response(header.status().with_param("file"));
  upload->file.owner = request.key;
  const auto stored = service.files.add(std::move(upload->file), upload->lifetime);
  if (!stored) return error_response(stored.status());
  return http::json_reply(to_text(file_json(*stored)));
}

http::HttpReply list_files(Service& service, http::HttpRequest& request, http::Client&) {
  const auto query = read_list_query(request, {{}, false, kMaxListed}, kMaxListed);
  if (!query) return error_response(query.status());
  const std::string purpose = http::query_value(request.query, "purpose");
  Json files = Json::array();
  for (const StoredFile& file : service.files.list(request.key)) {
    files.push_back(file_json(file));
  }
  const auto page = list_page(std::move(files), *query, [&](const Json& file) {
    return purpose.empty() || file["purpose"] == purpose;
  });
  return page ? *page : error_response(page.status());
}

http::HttpReply get_file(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr std::string_view kContent = "/content";
  std::string id = request.suffix;
  const bool content = id.ends_with(kContent);
  if (content) id.resize(id.size() - kContent.size());
  const auto file = service.files.find(id, request.key);
  if (!file) return error_response(file.status().with_param("file_id"));
  if (!content) return http::json_reply(to_text(file_json(*file)));
  http::HttpReply reply = http::json_reply(*file->bytes);
  reply.content_type = "application/octet-stream";
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

http::HttpReply delete_file(Service& service, http::HttpRequest& request, http::Client&) {
  const Status status = service.files.remove(request.suffix, request.key);
  if (!status.ok()) return error_response(status.with_param("file_id"));
  return http::json_reply(to_text({{"id", request.suffix}, {"object", "file"}, {"deleted", true}}));
}

}  // namespace saccade::api
