#include "server/http/http_server.h"

#include <httplib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "server/http/body_reader.h"
#include "server/http/connection_pool.h"
#include "server/http/cors.h"
#include "server/http/errors.h"
#include "server/http/gunzip.h"
#include "server/http/head_text.h"
#include "server/http/receive_body.h"
#include "server/http/route_path.h"

// What httplib 0.11.4 does with hostile input, and what is done about it here:
// - It reads the request line and each header line into memory without a bound, does not bound how
//   many there are, and waits anew for every byte. -> Connection reads and checks the whole head
//   under one limit and one deadline; httplib gets a short head of our own making.
// - It percent-decodes header values (an id with %0d%0a would split the response), matches paths as
//   well as Range with std::regex (recursion per character), and gunzips bodies past the body
//   limit. -> None of these reach it: our routing uses the checked head, and httplib only ever sees
//   "/".
// - A body too large by its announced length is read to the end before the 413; a chunked one has
//   no limit, and its sizes are read by strtoul ("-1", "0x5", "5 5"). -> receive_body() reads all
//   bodies; the library never sees one.
// - It selects (descriptors over 1023 fail), its pool has a fixed number of threads, the listen
//   backlog is 5, and a failed accept ends the server. -> poll, a thread for each connection up to
//   the limit, listen again, serve again.
// - It cannot tell that a client left while nothing is written. -> Client::gone().
namespace saccade::http {
namespace {

constexpr int kBacklog = 1024;

// One request on one connection, from its head to its last byte.
struct Exchange : BodyWriter {
  explicit Exchange(Connection& the_connection) : connection(the_connection) {}

  bool gone() override { return client_left = client_left || connection.peer_gone(); }
  bool write(std::string_view bytes) override {
    if (!sink->write(bytes.data(), bytes.size())) client_left = true;
    return !client_left;
  }

  // A refusal in the shape that the route's clients read.
  HttpReply error(int status, const std::string& message, const std::string& code = {}) const {
    HttpReply refusal;
    refusal.status = status;
    refusal.body = shape != nullptr ? shape(status, message, {}, request.id)
                                    : error_body(status, message, {}, code);
    return refusal;
  }

  // The rest of an unread body would be taken for the next request.
  bool closes() const {
    const bool has_body = head.chunked || head.content_length.value_or(0) > 0;
    return head.wants_close() || client_left || (has_body && !body_read);
  }

  int64_t milliseconds() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 start)
        .count();
  }

  Connection& connection;
  RequestHead head;
  HttpRequest request;
  const Route* route = nullptr;
  ErrorBody shape = nullptr;          // of refusals; null: OpenAI's
  httplib::DataSink* sink = nullptr;  // while streaming
  HttpReply reply;
  bool body_read = false;
  bool client_left = false;
  std::string failure;  // of our own, behind a 500
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

// The library's callbacks do not say on which connection they are called; each has its own thread.
thread_local Exchange* current_exchange = nullptr;
thread_local bool refuse_connection = false;

// What httplib reads, a head of our own making, and where it writes.
class CheckedStream : public httplib::Stream {
 public:
  CheckedStream(Connection& connection, std::string head)
      : connection_(connection), head_(std::move(head)) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return !connection_.peer_gone(); }
  ssize_t read(char* data, size_t size) override {
    if (position_ == head_.size()) return -1;
    const size_t count = std::min(size, head_.size() - position_);
    std::memcpy(data, head_.data() + position_, count);
    position_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, size_t size) override {
    return connection_.write({data, size}) ? static_cast<ssize_t>(size) : -1;
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip = connection_.remote_address();
    port = connection_.remote_port();
  }
  void get_local_ip_and_port(std::string&, int&) const override {}
  // The library refuses descriptors that select() cannot take; we do not select.
  socket_t socket() const override { return -1; }

 private:
  Connection& connection_;
  const std::string head_;
  size_t position_ = 0;
};

// The library's idea of a pool over ours.
class ConnectionThreads : public httplib::TaskQueue {
 public:
  explicit ConnectionThreads(ConnectionPool& pool) : pool_(pool) {}

  void enqueue(std::function<void()> serve) override {
    if (pool_.start(serve)) return;
    refuse_connection = true;  // the socket is inside `serve`, which closes it
    serve();
    refuse_connection = false;
  }
  void shutdown() override { pool_.wait_until_empty(); }

 private:
  ConnectionPool& pool_;
};

}  // namespace

class HttpServer::Impl : public httplib::Server {
 public:
  Impl(HttpServerOptions options, std::vector<Route> routes)
      : options_(std::move(options)),
        routes_(std::move(routes)),
        pool_(options_.limits.max_connections),
        bodies_(options_.limits.max_bodies_bytes),
        stop_fd_(eventfd(0, EFD_CLOEXEC)) {
    new_task_queue = [this] { return new ConnectionThreads(pool_); };
    set_socket_options([this](socket_t fd) {
      const int on = 1;  // the library's own default also sets SO_REUSEPORT: two servers, one port
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      listen_fd_ = fd;
    });
    set_expect_100_continue_handler([this](const httplib::Request&, httplib::Response& response) {
      return refuse(*current_exchange, response) ? response.status : 100;
    });
    set_pre_routing_handler([this](const httplib::Request&, httplib::Response& response) {
      Exchange& exchange = *current_exchange;
      if (refuse(exchange, response)) return HandlerResponse::Handled;
      if (exchange.route->method == "POST") return HandlerResponse::Unhandled;
      run(exchange, response);
      return HandlerResponse::Handled;
    });
    Post("/", [this](const httplib::Request&, httplib::Response& response,
                     const httplib::ContentReader&) {
      Exchange& exchange = *current_exchange;
      if (read_body(exchange, response)) run(exchange, response);
    });
    set_post_routing_handler([](const httplib::Request&, httplib::Response& response) {
      const Exchange& exchange = *current_exchange;
      response.headers.erase("Keep-Alive");
      response.set_header("X-Request-Id", exchange.request.id);
      if (exchange.shape != nullptr) {
        response.set_header("Request-Id", exchange.request.id);  // as Anthropic's clients read it
      } else {
        response.set_header("Openai-Processing-Ms", std::to_string(exchange.milliseconds()));
      }
      if (exchange.closes() && !response.has_header("Connection")) {
        response.set_header("Connection", "close");
      }
    });
    set_error_handler([](const httplib::Request&, httplib::Response& response) {
      if (!response.body.empty()) return;
      response.set_content(error_body(response.status, "the request could not be read"),
                           "application/json");
    });
  }

  ~Impl() override { ::close(stop_fd_); }

  int bind(const std::string& host, int port) {
    host_ = host;
    const int bound = port == 0 ? bind_to_any_port(host) : (bind_to_port(host, port) ? port : -1);
    if (bound <= 0) {
      throw std::runtime_error("cannot listen on " + host + ":" + std::to_string(port) + ": " +
                               std::strerror(errno));
    }
    ::listen(listen_fd_, kBacklog);
    return port_ = bound;
  }

  bool serve() {
    while (true) {
      const bool ended_by_stop = listen_after_bind();
      if (ended_by_stop || stopping_) return true;
      if (!bind_to_port(host_, port_)) return stopping_;  // a failed accept closed the socket
      ::listen(listen_fd_, kBacklog);
    }
  }

  void stop_all() {
    stopping_ = true;
    const uint64_t one = 1;
    (void)!::write(stop_fd_, &one, sizeof one);
    // The library's stop() does nothing until it accepts; this ends accept() now or at its start.
    ::shutdown(listen_fd_, SHUT_RDWR);
  }

 private:
  bool process_and_close_socket(socket_t socket) override {
    if (refuse_connection) return ::close(socket) == 0;
    Connection connection(socket, stop_fd_, options_.limits);
    const ConnectionPool::Member member(pool_, connection);
    while (serve_one(connection)) {
    }
    connection.finish();  // while it may still lose its place
    return true;
  }

  // True when the connection may carry another request.
  bool serve_one(Connection& connection) {
    Exchange exchange(connection);
    std::string why;
    const int status = connection.read_head(exchange.head, why);
    if (status < 0) return false;
    exchange.start = std::chrono::steady_clock::now();
    prepare(exchange);
    if (status > 0) {
      refuse_head(exchange, status, why);
      return false;
    }
    const RequestHead& head = exchange.head;
    CheckedStream stream(connection, library_head(head));
    bool closed = false;
    current_exchange = &exchange;
    const bool ok = process_request(stream, head.wants_close(), closed, nullptr);
    current_exchange = nullptr;
    finish(exchange);
    return ok && !exchange.closes();
  }

  void prepare(Exchange& exchange) {
    HttpRequest& request = exchange.request;
    const RequestHead& head = exchange.head;
    const std::string_view id = head.header("X-Request-Id");
    request.id = is_plain_id(id) ? std::string(id) : random_id();
    request.method = head.method;
    const size_t question = std::min(head.target.find('?'), head.target.size());
    request.path = percent_decoded(std::string_view(head.target).substr(0, question));
    request.query = head.target.substr(std::min(question + 1, head.target.size()));
    request.content_type = head.header("Content-Type");
    request.remote_address = exchange.connection.remote_address();
    const ErrorShape& other = options_.other_errors;
    const bool below = request.path == other.path || request.path.starts_with(other.path + "/");
    request.other_client = !head.header(other.header).empty();
    if (below || request.other_client) exchange.shape = other.body;
  }

  // Only what the library needs to frame the body and the answer.
  static std::string library_head(const RequestHead& head) {
    std::string text = head.method == "POST" || head.method == "HEAD" ? head.method : "GET";
    text += head.http_1_0 ? " / HTTP/1.0\r\n" : " / HTTP/1.1\r\n";
    if (head.wants_close()) text += "Connection: close\r\n";
    text += head.chunked
                ? std::string("Transfer-Encoding: chunked\r\n")
                : "Content-Length: " + std::to_string(head.content_length.value_or(0)) + "\r\n";
    if (equals_ignoring_case(head.header("Expect"), "100-continue")) {
      text += "Expect: 100-continue\r\n";
    }
    return text + "\r\n";
  }

  const Route* find_route(Exchange& exchange, std::string& allowed) const {
    const std::string& path = exchange.request.path;
    for (const Route& route : routes_) {
      const auto id = match_path(route.path, path);
      if (!id) continue;
      const std::string& method = exchange.request.method;
      if (method == route.method || (method == "HEAD" && route.method == "GET")) {
        exchange.request.id_in_path = *id;
        return &route;
      }
      if (allowed.find(route.method) != std::string::npos) continue;  // of "/a/{id}" beside "/a/b"
      allowed += (allowed.empty() ? "" : ", ") + route.method;
      if (route.method == "GET") allowed += ", HEAD";
    }
    return nullptr;
  }

  // Which key the request brings, as OpenAI's or Anthropic's clients send it; -1: none of ours.
  int key_of(const Exchange& exchange) const {
    std::string_view given = exchange.head.header("Authorization");
    if (given.empty()) given = exchange.head.header("x-api-key");
    if (given.size() > 7 && strncasecmp(given.data(), "Bearer ", 7) == 0) given.remove_prefix(7);
    int found = -1;  // every key is compared, always
    for (size_t i = 0; i < options_.api_keys.size(); ++i) {
      if (same_secret(given, options_.api_keys[i])) found = static_cast<int>(i);
    }
    return found;
  }

  // What can be refused before the body is read. True when the response is set.
  bool refuse(Exchange& exchange, httplib::Response& response) const {
    std::string allowed;
    exchange.route = find_route(exchange, allowed);
    if (exchange.route != nullptr && exchange.route->error_body != nullptr) {
      exchange.shape = exchange.route->error_body;
    }
    const bool open = exchange.route != nullptr && !exchange.route->needs_key;
    const RequestHead& head = exchange.head;
    exchange.request.key = key_of(exchange);
    if (head.method == "OPTIONS" && !allowed.empty()) {  // without a key: browsers send none
      exchange.reply.headers = options_headers(options_.cors_origins, head, allowed);
    } else if (!options_.api_keys.empty() && !open && exchange.request.key < 0) {
      exchange.reply = exchange.error(401, "a valid API key is needed: Authorization: Bearer KEY",
                                      "invalid_api_key");
      exchange.reply.headers.emplace_back("WWW-Authenticate", "Bearer");
    } else if (exchange.route == nullptr && !allowed.empty()) {
      exchange.reply = exchange.error(405, head.method + " is not allowed here, only " + allowed,
                                      "method_not_allowed");
      exchange.reply.headers.emplace_back("Allow", allowed);
    } else if (exchange.route == nullptr) {
      exchange.reply = exchange.error(404, "there is no such route", "not_found");
    } else if (head.content_length.value_or(0) > options_.limits.max_body_bytes) {
      exchange.reply = body_too_large(exchange);
    } else if (const std::string_view encoding = head.header("Content-Encoding");
               !encoding.empty() && encoding != "identity" && encoding != "gzip") {
      exchange.reply = exchange.error(415, "request bodies may be sent as they are or as gzip");
      exchange.reply.headers.emplace_back("Accept-Encoding", "gzip, identity");
    } else {
      return false;
    }
    apply(exchange, response);
    return true;
  }

  HttpReply body_too_large(const Exchange& exchange) const {
    return exchange.error(413,
                          "the request body is larger than " +
                              std::to_string(options_.limits.max_body_bytes) + " bytes",
                          "request_too_large");
  }

  bool read_body(Exchange& exchange, httplib::Response& response) {
    BodyReader body(exchange.request, options_.limits.max_body_bytes, bodies_,
                    exchange.head.header("Content-Encoding") == "gzip");
    const BodyReader::Fault arrived =
        receive_body(exchange.connection, exchange.head, options_.limits.max_body_bytes, body);
    exchange.body_read = arrived == BodyReader::Fault::kNone;
    const BodyReader::Fault fault = body.end(arrived);
    if (fault == BodyReader::Fault::kNone) return true;
    const bool cut_short =
        fault == BodyReader::Fault::kIncomplete || fault == BodyReader::Fault::kEndedEarly;
    exchange.client_left = cut_short && exchange.connection.peer_gone();
    switch (fault) {
      case BodyReader::Fault::kTooLarge:
        exchange.reply = body_too_large(exchange);
        break;
      case BodyReader::Fault::kNoMemory:
        exchange.reply = exchange.error(503, "too many request bodies at a time", "unavailable");
        exchange.reply.headers.emplace_back("Retry-After", "1");
        break;
      case BodyReader::Fault::kMalformed:
        exchange.reply = exchange.error(400, "the request body is not valid gzip");
        break;
      case BodyReader::Fault::kBadChunks:
        exchange.reply = exchange.error(400, "the chunks of the request body are malformed");
        break;
      case BodyReader::Fault::kEndedEarly:
        exchange.reply = exchange.error(400, "the request body ended before it was whole");
        break;
      default:
        exchange.reply = exchange.error(408, "the request body did not arrive in time");
    }
    apply(exchange, response);
    return false;
  }

  void run(Exchange& exchange, httplib::Response& response) const {
    exchange.connection.answer();
    try {
      exchange.reply = exchange.route->handler(exchange.request, exchange);
    } catch (const std::exception& failure) {  // what it says is for the log, not for the client
      exchange.failure = failure.what();
      exchange.reply = exchange.error(500, "internal error", "internal_error");
    }
    if (exchange.reply.status == 499) exchange.client_left = true;
    apply(exchange, response);
  }

  void apply(Exchange& exchange, httplib::Response& response) const {
    exchange.connection.answer();
    HttpReply& reply = exchange.reply;
    if (exchange.head.method != "OPTIONS") {
      for (const auto& [name, value] : cors_headers(options_.cors_origins, exchange.head)) {
        response.set_header(name, value);
      }
    }
    response.status = reply.status;
    for (const auto& [name, value] : reply.headers) response.set_header(name, value);
    if (!reply.stream) {
      response.set_content(reply.body, reply.content_type);
      return;
    }
    const auto provide = [&exchange](size_t, httplib::DataSink& sink) {
      exchange.sink = &sink;
      exchange.reply.stream(exchange);
      sink.done();
      return !exchange.client_left;
    };
    response.set_header("Cache-Control", "no-cache");
    response.set_header("X-Accel-Buffering", "no");
    if (exchange.head.http_1_0) {  // knows no chunks: the end of the connection ends the body
      response.set_content_provider(reply.content_type, provide);
    } else {
      response.set_chunked_content_provider(reply.content_type, provide);
    }
  }

  // A head that is wrong never reaches the library.
  void refuse_head(Exchange& exchange, int status, const std::string& why) const {
    exchange.reply = exchange.error(status, why);
    const std::string& body = exchange.reply.body;
    const std::string& id = exchange.request.id;
    exchange.connection.write("HTTP/1.1 " + std::to_string(status) + " " + reason_phrase(status) +
                              "\r\nContent-Type: application/json\r\nConnection: close\r\n"
                              "X-Request-Id: " +
                              id + (exchange.shape != nullptr ? "\r\nRequest-Id: " + id : "") +
                              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                              body);
    finish(exchange);
  }

  void finish(const Exchange& exchange) const {
    if (!options_.on_finished) return;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - exchange.start;
    options_.on_finished(
        {exchange.request.method, exchange.route != nullptr ? exchange.route->path : "unknown",
         exchange.request.path, exchange.request.id, exchange.request.remote_address,
         exchange.client_left ? 499 : exchange.reply.status, elapsed.count(), exchange.failure});
  }

  const HttpServerOptions options_;
  const std::vector<Route> routes_;
  ConnectionPool pool_;
  BodyBudget bodies_;
  const int stop_fd_;
  std::string host_;
  int port_ = 0;
  int listen_fd_ = -1;
  std::atomic<bool> stopping_{false};
};

HttpReply json_reply(std::string body) {
  HttpReply reply;
  reply.body = std::move(body);
  return reply;
}

std::vector<std::string> query_values(std::string_view query, std::string_view name) {
  std::vector<std::string> values;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (percent_decoded(pair.substr(0, equals)) != name) continue;
    values.push_back(percent_decoded(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return values;
}

std::string query_value(std::string_view query, std::string_view name) {
  std::vector<std::string> values = query_values(query, name);
  return values.empty() ? std::string() : std::move(values.front());
}

HttpServer::HttpServer(HttpServerOptions options, std::vector<Route> routes)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(routes))) {}

HttpServer::~HttpServer() = default;

int HttpServer::bind(const std::string& host, int port) { return impl_->bind(host, port); }

bool HttpServer::serve() { return impl_->serve(); }

void HttpServer::stop() { impl_->stop_all(); }

}  // namespace saccade::http
