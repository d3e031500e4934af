#include "server/api/files/files.h"

#include <set>

#include "server/api/answer/answer.h"
#include "server/api/files/file_format.h"
#include "server/api/files/list_page.h"
#include "server/api/messages/messages.h"
#include "server/api/request/file_part.h"
#include "server/ascii_case.h"
#include "server/http/multipart.h"
#include "server/media/image_probe.h"

namespace saccade::api {
namespace {

// The longest lifetime a client may ask for [s], under OpenAI's and under Anthropic's name for it.
constexpr int kLongest = 2'592'000, kLongestOfMessages = 7'776'000;

std::string text_type(const std::string& filename) {
  constexpr std::pair<const char*, const char*> kTypes[] = {
      {".md", "text/markdown"}, {".json", "application/json"}, {".csv", "text/csv"}};
  const std::string name = lower_case(filename);
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "text/plain";
}

// What the bytes are, whatever the client calls them: a picture or, where the purpose is not
// vision, text.
Result<std::string> media_type(const StoredFile& file, const MediaLimits& limits) {
  const auto header = probe_image(*file.bytes, limits);
  if (header) return "image/" + lower_case(format_name(header->format));
  if (file.purpose == "vision") return header.status();
  const Status status = check_text_file(*file.bytes);
  if (!status.ok()) return status;
  return text_type(file.filename);
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
  std::string& purpose = upload.file.purpose;
  if (purpose.empty()) purpose = file_format(request).default_purpose;
  if (purpose != "vision" && purpose != "user_data" && purpose != "assistants") {
    return invalid_argument(
        "purpose must be vision (a picture), user_data or assistants (a picture or a text)",
        "purpose");
  }
  return upload;
}

}  // namespace

http::HttpReply upload_file(Service& service, http::HttpRequest& request, http::Client&) {
  Result<Upload> upload = read_upload(request);
  request.free_body();
  if (!upload) return error_response(request, upload.status());
  Result<std::string> type = media_type(upload->file, service.options.image);
  if (!type) return error_response(request, type.status().with_param("file"));
  upload->file.media_type = *std::move(type);
  upload->file.owner = request.key;
  const auto stored = service.files.add(std::move(upload->file), upload->lifetime);
  if (!stored) return error_response(request, stored.status());
  return http::json_reply(to_text(file_format(request).described(*stored)));
}

http::HttpReply list_files(Service& service, http::HttpRequest& request, http::Client&) {
  const FileFormat& format = file_format(request);
  const auto query = format.query(request);
  if (!query) return error_response(request, query.status());
  Json files = Json::array();
  for (const StoredFile& file : service.files.list(request.key)) {
    files.push_back(format.described(file));
  }
  auto page = list_page(std::move(files), *query, format.shown(request));
  if (!page) return error_response(request, page.status());
  return http::json_reply(to_text(format.page(*std::move(page))));
}

http::HttpReply get_file(Service& service, http::HttpRequest& request, http::Client&) {
  const auto file = service.files.find(request.id_in_path, request.key);
  if (!file) return error_response(request, file.status().with_param("file_id"));
  return http::json_reply(to_text(file_format(request).described(*file)));
}

http::HttpReply get_file_content(Service& service, http::HttpRequest& request, http::Client&) {
  const auto file = service.files.find(request.id_in_path, request.key);
  if (!file) return error_response(request, file.status().with_param("file_id"));
  http::HttpReply reply = http::json_reply(*file->bytes);
  reply.content_type = "application/octet-stream";
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

http::HttpReply delete_file(Service& service, http::HttpRequest& request, http::Client&) {
  const Status status = service.files.remove(request.id_in_path, request.key);
  if (!status.ok()) return error_response(request, status.with_param("file_id"));
  return http::json_reply(to_text(file_format(request).deleted(request.id_in_path)));
}

}  // namespace saccade::api
