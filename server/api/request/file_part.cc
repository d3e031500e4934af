#include "server/api/request/file_part.h"

#include "server/ascii_case.h"
#include "server/media/media_loader.h"
#include "server/prompt/prompt_builder.h"
#include "server/prompt/template/unicode.h"

namespace saccade::api {
namespace {

constexpr std::string_view kPdf = "%PDF-";
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// The text of a file, set apart from what follows it.
std::string as_prompt_text(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with(kByteOrderMark)) bytes.remove_prefix(kByteOrderMark.size());
  std::string text;
  if (!name.empty()) text = name + "\n";
  text.append(bytes);
  return text + "\n\n";
}

Status show_text(std::string_view bytes, ContentPart& part) {
  const Status status = check_text_file(bytes);
  if (!status.ok()) return status;
  part.kind = ContentPart::Kind::kText;
  part.text = as_prompt_text(bytes, part.file_name);
  return {};
}

Status load_stored(FileStore& files, int owner, ContentPart& part) {
  const Result<StoredFile> file = files.find(part.text, owner);
  if (!file) return file.status();
  if (!file->is_picture()) {
    if (part.file_name.empty()) part.file_name = file->filename;
    return show_text(*file->bytes, part);
  }
  part.kind = ContentPart::Kind::kImage;
  return {};
}

// What the declared type says is a picture or a PDF; of the rest the bytes decide.
Status load_sent(ContentPart& part) {
  std::string_view data = part.text;
  if (is_data_url(data)) {
    const Result<DataUrl> parts = split_data_url(data);
    if (!parts) return parts.status();
    const std::string header = lower_case(parts->header);
    if (header.starts_with("image/")) {
      part.kind = ContentPart::Kind::kImage;
      return {};
    }
    if (!header.ends_with(";base64")) {
      return invalid_argument("a file's data: URL must be base64 encoded");
    }
    data = parts->data;
  }
  const Result<std::string> bytes = decode_base64(data, kMaxPromptBytes);
  if (!bytes) return bytes.status();
  return show_text(*bytes, part);
}

}  // namespace

void read_file_part(const Fields& file, Fields& fields, ContentPart& content) {
  if (file.find("file_url") != nullptr) {
    const std::string path = file.path("file_url");
    return fields.fail(path, path + ": files are not fetched; send file_data, or a file_id");
  }
  const Json* data = file.find("file_data");
  const Json* id = file.find("file_id");
  if ((data == nullptr) == (id == nullptr)) {
    const std::string path = file.path("file_data");
    return fields.fail(path, path + " or file_id must be there, and not both");
  }
  content.kind = data != nullptr ? ContentPart::Kind::kFile : ContentPart::Kind::kStoredFile;
  content.param = file.path(data != nullptr ? "file_data" : "file_id");
  content.text = (data != nullptr ? data : id)->get<std::string>();
  if (const Json* name = file.find("filename")) content.file_name = name->get<std::string>();
}

Status check_text_file(std::string_view bytes) {
  if (bytes.starts_with(kPdf)) {
    return invalid_argument(
        "PDF documents are not supported; send the document's text, or its pages as pictures");
  }
  if (bytes.empty()) return invalid_argument("the file is empty");
  if (bytes.find('\0') != std::string_view::npos || !jinja::is_valid_utf8(bytes)) {
    return invalid_argument("the file is neither text in UTF-8 nor a picture");
  }
  return {};
}

Status load_files(Conversation& conversation, FileStore& files, int owner) {
  for (ChatMessage& message : conversation.messages) {
    for (ContentPart& part : message.parts) {
      const bool stored = part.kind == ContentPart::Kind::kStoredFile;
      if (!stored && part.kind != ContentPart::Kind::kFile) continue;
      const Status status = stored ? load_stored(files, owner, part) : load_sent(part);
      if (!status.ok()) return status.with_param(part.param);
    }
  }
  return {};
}

Status load_files(std::optional<Conversation>& conversation, FileStore& files, int owner) {
  return conversation ? load_files(*conversation, files, owner) : Status();
}

}  // namespace saccade::api
