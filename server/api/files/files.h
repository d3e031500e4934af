#pragma once

#include "server/api/service/service.h"
#include "server/http/http_server.h"

// Pictures and texts that are sent once. Anthropic's clients (HttpRequest::other_client) are
// answered in their own shape: POST takes `file` and perhaps expires_in_seconds, the list has a
// `page`.
namespace saccade::api {

// POST /v1/files: multipart/form-data with `file` and `purpose` ("vision", "user_data" or
// "assistants"), and perhaps expires_after[seconds].
http::HttpReply upload_file(Service& service, http::HttpRequest& request, http::Client& client);
// GET /v1/files
http::HttpReply list_files(Service& service, http::HttpRequest& request, http::Client& client);
// GET /v1/files/{id}
http::HttpReply get_file(Service& service, http::HttpRequest& request, http::Client& client);
// GET /v1/files/{id}/content
http::HttpReply get_file_content(Service& service, http::HttpRequest& request,
                                 http::Client& client);
// DELETE /v1/files/{id}
http::HttpReply delete_file(Service& service, http::HttpRequest& request, http::Client& client);

}  // namespace saccade::api
