#pragma once

#include <optional>

#include "server/api/fields/fields.h"
#include "server/media/file_store.h"
#include "server/prompt/conversation.h"

// Files inside of a message: text becomes part of the prompt below the file's name, a picture is
// one like any other. Nobody here reads a PDF.
namespace saccade::api {

// {"file_data"} (a base64 data: URL, or base64 alone) or {"file_id"}, and perhaps {"filename"}: a
// part of kind kFile or kStoredFile. `file` was read by kFileFields; mistakes are kept in `fields`.
void read_file_part(const Fields& file, Fields& fields, ContentPart& content);

// What a file that holds neither a picture nor text in UTF-8 is refused with; OK for text.
Status check_text_file(std::string_view bytes);

// Makes words or pictures of all parts of these kinds. `owner`: the API key whose stored files may
// be named. kInvalidArgument or kNotFound with the part's path.
Status load_files(Conversation& conversation, FileStore& files, int owner);
Status load_files(std::optional<Conversation>& conversation, FileStore& files, int owner);

}  // namespace saccade::api
