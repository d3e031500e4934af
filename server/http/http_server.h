#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/body_budget.h"
#include "server/http/limits.h"

namespace saccade::http {

// One request as a route sees it. Complete: the body has been read and is within its limit.
struct HttpRequest {
  std::string method;
  std::string path;          // percent-decoded, without the query
  std::string id_in_path;    // what stands for the "{id}" or "*" of the route's path
  std::string query;         // behind the path's "?", as sent
  std::string content_type;  // of the body, as sent
  std::string body;
  std::shared_ptr<BodyBudget::Share> body_share;  // what the body holds of all bodies' memory
  bool other_client = false;  // it brought the header of HttpServerOptions::other_errors
  int key = -1;               // which API key it brought, by its place in the options; -1: none
  std::string id;             // X-Request-Id of the client, or a generated one
  std::string remote_address;

  // Once its text is not needed any more: it may be as large as its pictures.
  void free_body() {
    body = {};
    body_share.reset();
  }
};

// The client while it waits for its answer. Valid during the handler and the stream that it
// returns.
class Client {
 public:
  virtual ~Client() = default;
  virtual bool gone() = 0;
};

// Where a streamed body goes.
class BodyWriter : public Client {
 public:
  // False when the client is gone or takes nothing any more; writing on is pointless then.
  virtual bool write(std::string_view bytes) = 0;
};

struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // With it the body is written piece by piece, after the status line has gone out.
  std::function<void(BodyWriter&)> stream;
};

HttpReply json_reply(std::string body);

// The value of `name` in a query, percent-decoded; empty when it is not there.
std::string query_value(std::string_view query, std::string_view name);
// Of a name that may stand there several times: all its values.
std::vector<std::string> query_values(std::string_view query, std::string_view name);

// May empty the body to free its memory.
using Handler = std::function<HttpReply(HttpRequest&, Client&)>;

// `request_id`: HttpRequest::id.
using ErrorBody = std::string (*)(int status, const std::string& message, const std::string& param,
                                  const std::string& request_id);

struct Route {
  std::string method;  // "GET" (HEAD comes with it), "POST" or "DELETE"
  std::string path;    // "{id}" in it takes any one segment, "*" at its end all that follows
  Handler handler;
  bool needs_key = true;
  ErrorBody error_body = nullptr;  // the shape of refusals on this route; null: OpenAI's
};

// One finished request, for the log and the counters.
struct AccessRecord {
  std::string method;
  std::string route;  // of the table, or "unknown": bounded, whatever clients send
  std::string path;
  std::string id;
  std::string remote_address;
  int status = 0;  // 499: the client left
  double seconds = 0;
  std::string failure;  // what was thrown, behind a 500
};

// How requests are refused that come to no route with a shape of its own: below this path, or with
// this header.
struct ErrorShape {
  std::string path;
  std::string header;
  ErrorBody body = nullptr;
};

struct HttpServerOptions {
  ConnectionLimits limits;
  std::vector<std::string> api_keys;      // none: open to everybody
  std::vector<std::string> cors_origins;  // "*" or origins; none: no cross-origin requests
  ErrorShape other_errors;                // null: OpenAI's everywhere
  std::function<void(const AccessRecord&)> on_finished;
};

// HTTP/1.1 with one thread for each connection. Nothing outside http_server.cc knows the library
// behind it.
class HttpServer {
 public:
  HttpServer(HttpServerOptions options, std::vector<Route> routes);
  ~HttpServer();

  // Binds and listens; 0 takes a free port. Returns the port. Throws std::runtime_error.
  int bind(const std::string& host, int port);
  // Serves until stop(). Returns false when the socket failed and could not be opened again.
  bool serve();
  // From any thread. Idle connections close; answers that are being written are finished.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saccade::http
