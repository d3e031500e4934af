#include "server/http/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <chrono>
#include <future>
#include <thread>

using namespace saccade::http;
using namespace std::chrono_literals;

namespace {

// A server on a free port for the length of a test.
class TestServer {
 public:
  explicit TestServer(HttpServerOptions options = {}) : server_(std::move(options), routes()) {
    port_ = server_.bind("127.0.0.1", 0);
    thread_ = std::thread([this] { server_.serve(); });
  }
  ~TestServer() {
    server_.stop();
    thread_.join();
  }
  int port() const { return port_; }
  // Until `count` requests for /wait are being answered.
  void await_waits(int count) const {
    for (int i = 0; i < 500 && waits_ < count; ++i) std::this_thread::sleep_for(10ms);
    REQUIRE(waits_ == count);
  }

 private:
  std::vector<Route> routes() {
    const auto echo = [](HttpRequest& request, Client&) {
      HttpReply reply;
      reply.body = request.body + "|" + request.id_in_path;
      return reply;
    };
    const auto stream = [](HttpRequest&, Client&) {
      HttpReply reply;
      reply.content_type = "text/event-stream";
      reply.stream = [](BodyWriter& writer) {
        for (int i = 0; i < 3; ++i) writer.write("event" + std::to_string(i) + ";");
      };
      return reply;
    };
    const auto fail = [](HttpRequest&, Client&) -> HttpReply { throw std::runtime_error("boom"); };
    const auto wait_gone = [this](HttpRequest&, Client& client) {
      ++waits_;
      for (int i = 0; i < 500 && !client.gone(); ++i) std::this_thread::sleep_for(10ms);
      HttpReply reply;
      reply.status = client.gone() ? 499 : 200;
      return reply;
    };
    // More than any socket buffer takes.
    const auto flood = [](HttpRequest&, Client&) {
      HttpReply reply;
      reply.stream = [](BodyWriter& writer) {
        const std::string block(1 << 20, 'x');
        for (int i = 0; i < 64; ++i) {
          if (!writer.write(block)) return;
        }
      };
      return reply;
    };
    return {
        {"POST", "/echo", echo},       {"GET", "/stream", stream},      {"GET", "/below/*", echo},
        {"GET", "/one/{id}", echo},    {"POST", "/one/{id}/end", echo}, {"GET", "/fail", fail},
        {"GET", "/open", echo, false}, {"GET", "/wait", wait_gone},     {"GET", "/flood", flood}};
  }

  std::atomic<int> waits_ = 0;
  HttpServer server_;
  int port_ = 0;
  std::thread thread_;
};

class Socket {
 public:
  explicit Socket(int port, int receive_buffer = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) {
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    const timeval timeout{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  }
  ~Socket() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  Socket& send(const std::string& text) {
    ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
    return *this;
  }
  // Until `end` has been seen `times` times, or the server closes.
  std::string read_until(const std::string& end = {}, int times = 1) {
    std::string text;
    char buffer[65536];
    while (true) {
      const ssize_t got = recv(fd_, buffer, sizeof buffer, 0);
      if (got <= 0) return text;
      text.append(buffer, static_cast<size_t>(got));
      int seen = 0;
      for (size_t at = 0; !end.empty() && (at = text.find(end, at)) != std::string::npos; ++at)
        ++seen;
      if (!end.empty() && seen >= times) return text;
    }
  }

 private:
  int fd_;
};

std::string ask(int port, const std::string& text) { return Socket(port).send(text).read_until(); }

std::string status_line(const std::string& response) {
  return response.substr(0, response.find("\r\n"));
}

const std::string kClose = "Host: x\r\nConnection: close\r\n\r\n";

}  // namespace

TEST_CASE("routes, prefixes and bodies") {
  TestServer server;
  const std::string echoed =
      ask(server.port(), "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n" + kClose + "abc");
  CHECK(status_line(echoed) == "HTTP/1.1 200 OK");
  CHECK(echoed.ends_with("\r\n\r\nabc|"));
  CHECK(ask(server.port(), "POST /echo HTTP/1.1\r\n" + kClose).ends_with("\r\n\r\n|"));
  CHECK(ask(server.port(), "GET /below/a/b%20c?q HTTP/1.1\r\n" + kClose).ends_with("|a/b c"));
  CHECK(ask(server.port(), "GET /one/a%20b HTTP/1.1\r\n" + kClose).ends_with("|a b"));
  CHECK(ask(server.port(), "POST /one/a/end HTTP/1.1\r\n" + kClose).ends_with("|a"));
  for (const char* path : {"/below/", "/one/", "/one/a/b", "/one//end", "/one/a/b/end"}) {
    const std::string refused =
        ask(server.port(), "GET " + std::string(path) + " HTTP/1.1\r\n" + kClose);
    CHECK(status_line(refused) == "HTTP/1.1 404 Not Found");
  }
  CHECK(ask(server.port(), "POST /one/a HTTP/1.1\r\n" + kClose).find("\r\nAllow: GET, HEAD\r\n") !=
        std::string::npos);
  const std::string chunked =
      ask(server.port(), "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + kClose +
                             "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  CHECK(chunked.ends_with("abcde|"));
}

TEST_CASE("failures of HTTP itself have OpenAI's error body") {
  TestServer server;
  const std::string missing = ask(server.port(), "GET /nowhere HTTP/1.1\r\n" + kClose);
  CHECK(status_line(missing) == "HTTP/1.1 404 Not Found");
  CHECK(missing.find(R"({"error":{)") != std::string::npos);
  const std::string wrong = ask(server.port(), "DELETE /echo HTTP/1.1\r\n" + kClose);
  CHECK(status_line(wrong) == "HTTP/1.1 405 Method Not Allowed");
  CHECK(wrong.find("Allow: POST\r\n") != std::string::npos);
  const std::string failed = ask(server.port(), "GET /fail HTTP/1.1\r\n" + kClose);
  CHECK(status_line(failed).find(" 500 ") != std::string::npos);
  CHECK(failed.find("boom") == std::string::npos);  // what went wrong inside is not told
  CHECK(status_line(ask(server.port(), "GET /echo HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n"))
            .find(" 400 ") != std::string::npos);
}

TEST_CASE("sizes beyond the limits are refused") {
  HttpServerOptions options;
  options.limits.max_body_bytes = 1000;
  options.limits.max_head_bytes = 16384;
  TestServer server(options);
  const std::string announced =
      ask(server.port(), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
  CHECK(announced.find(" 413 ") != std::string::npos);
  CHECK(announced.find("Connection: close") != std::string::npos);
  const std::string huge =
      ask(server.port(),
          "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n");
  CHECK(huge.find(" 413 ") != std::string::npos);
  const std::string chunks = ask(
      server.port(), "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                         std::string(1001, 'a') + "\r\n0\r\n\r\n");
  CHECK(chunks.find(" 413 ") != std::string::npos);
  CHECK(ask(server.port(), "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n")
            .find(" 414 ") != std::string::npos);
  CHECK(
      ask(server.port(), "GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(17000, 'a') + "\r\n\r\n")
          .find(" 431 ") != std::string::npos);
  // One long header line within the limit is fine.
  CHECK(ask(server.port(), "GET /open HTTP/1.1\r\nA: " + std::string(12000, 'a') + "\r\n" + kClose)
            .find(" 200 ") != std::string::npos);
}

TEST_CASE("one connection carries several requests, pipelined ones too") {
  TestServer server;
  Socket socket(server.port());
  const std::string one = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na";
  CHECK(socket.send(one + one).read_until("a|", 2).find("Keep-Alive") == std::string::npos);
  CHECK(socket.send(one).read_until("a|").find(" 200 ") != std::string::npos);
}

TEST_CASE("a stream is chunked, and plain for HTTP/1.0") {
  TestServer server;
  const std::string chunked = ask(server.port(), "GET /stream HTTP/1.1\r\n" + kClose);
  CHECK(chunked.find("Transfer-Encoding: chunked") != std::string::npos);
  CHECK(chunked.ends_with("7\r\nevent2;\r\n0\r\n\r\n"));
  const std::string plain = ask(server.port(), "GET /stream HTTP/1.0\r\n\r\n");
  CHECK(plain.find("chunked") == std::string::npos);
  CHECK(plain.ends_with("\r\n\r\nevent0;event1;event2;"));
}

TEST_CASE("the request id is echoed when plain, else made") {
  TestServer server;
  CHECK(ask(server.port(), "GET /open HTTP/1.1\r\nX-Request-Id: abc-1\r\n" + kClose)
            .find("X-Request-Id: abc-1\r\n") != std::string::npos);
  const std::string split =
      ask(server.port(), "GET /open HTTP/1.1\r\nX-Request-Id: a%0d%0aSet-Cookie: x\r\n" + kClose);
  CHECK(split.find("Set-Cookie") == std::string::npos);
  CHECK(split.find("X-Request-Id: ") != std::string::npos);
}

TEST_CASE("keys are asked for on every route but open ones") {
  HttpServerOptions options;
  options.api_keys = {"secret", "other"};
  TestServer server(options);
  const auto status = [&](const std::string& path, const std::string& header) {
    const std::string reply = ask(server.port(), "GET " + path + " HTTP/1.1\r\n" + header + kClose);
    return reply.substr(9, 3);
  };
  CHECK(status("/stream", "") == "401");
  CHECK(status("/nowhere", "") == "401");
  CHECK(status("/stream", "Authorization: Bearer secre\r\n") == "401");
  CHECK(status("/stream", "Authorization: Bearer secret2\r\n") == "401");
  CHECK(status("/stream", "Authorization: Bearer secret\r\n") == "200");
  CHECK(status("/stream", "authorization: bearer other\r\n") == "200");
  CHECK(status("/open", "") == "200");
}

TEST_CASE("slow and silent clients are cut, and hold nobody up") {
  HttpServerOptions options;
  options.limits.read_timeout = 1500ms;  // long enough for a busy machine
  TestServer server(options);
  std::vector<std::unique_ptr<Socket>> slow;
  for (int i = 0; i < 50; ++i) {
    slow.push_back(std::make_unique<Socket>(server.port()));
    slow.back()->send(i % 2 ? "GET /op"
                            : "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc");
  }
  const auto start = std::chrono::steady_clock::now();
  CHECK(ask(server.port(), "GET /open HTTP/1.1\r\n" + kClose).find(" 200 ") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < 1400ms);
  for (const auto& socket : slow) CHECK(socket->read_until().find(" 408 ") != std::string::npos);
  Socket silent(server.port());
  CHECK(silent.read_until().empty());
}

TEST_CASE("a drip of bytes does not keep a request alive") {
  HttpServerOptions options;
  options.limits.read_timeout = 300ms;
  TestServer server(options);
  Socket head(server.port());
  const auto start = std::chrono::steady_clock::now();
  std::thread drip([&] {
    for (int i = 0; i < 40; ++i) {
      head.send("G");
      std::this_thread::sleep_for(20ms);
    }
  });
  CHECK(head.read_until().find(" 408 ") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - start < 1500ms);
  drip.join();
}

TEST_CASE("a stream that nobody reads is given up") {
  HttpServerOptions options;
  options.limits.write_timeout = 300ms;
  std::promise<AccessRecord> finished;
  options.on_finished = [&](const AccessRecord& record) { finished.set_value(record); };
  TestServer server(options);
  Socket socket(server.port(), 4096);
  socket.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
  auto record = finished.get_future();
  REQUIRE(record.wait_for(5s) == std::future_status::ready);
  CHECK(record.get().status == 499);
}

TEST_CASE("a handler sees that its client left") {
  std::promise<AccessRecord> finished;
  HttpServerOptions options;
  options.on_finished = [&](const AccessRecord& record) { finished.set_value(record); };
  TestServer server(options);
  Socket socket(server.port());
  socket.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
  server.await_waits(1);
  socket.close();
  auto record = finished.get_future();
  REQUIRE(record.wait_for(4s) == std::future_status::ready);
  CHECK(record.get().status == 499);
}

TEST_CASE("beyond the limit the longest idle connection makes room, none that is being answered") {
  HttpServerOptions options;
  options.limits.max_connections = 3;
  TestServer server(options);
  std::vector<std::unique_ptr<Socket>> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(std::make_unique<Socket>(server.port()));
    CHECK(
        open.back()->send("GET /open HTTP/1.1\r\nHost: x\r\n\r\n").read_until("|").find(" 200 ") !=
        std::string::npos);
  }
  CHECK(ask(server.port(), "GET /open HTTP/1.1\r\n" + kClose).find(" 200 ") != std::string::npos);
  CHECK(open[0]->read_until().empty());  // it was the oldest
  CHECK(open[2]->send("GET /open HTTP/1.1\r\nHost: x\r\n\r\n").read_until("|").find(" 200 ") !=
        std::string::npos);

  std::vector<std::unique_ptr<Socket>> waiting;
  open.clear();
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(std::make_unique<Socket>(server.port()));
    waiting.back()->send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    server.await_waits(i + 1);  // or it might lose its place to the next one
  }
  CHECK(ask(server.port(), "GET /open HTTP/1.1\r\n" + kClose).empty());
  waiting.clear();
  std::string again;
  for (int i = 0; i < 100 && again.empty(); ++i) {
    std::this_thread::sleep_for(20ms);
    again = ask(server.port(), "GET /open HTTP/1.1\r\n" + kClose);
  }
  CHECK(again.find(" 200 ") != std::string::npos);
}

TEST_CASE("stopping closes idle connections at once") {
  auto server = std::make_unique<TestServer>();
  Socket idle(server->port());
  idle.send("GET /open HTTP/1.1\r\nHost: x\r\n\r\n").read_until("|");
  const auto start = std::chrono::steady_clock::now();
  server.reset();
  CHECK(std::chrono::steady_clock::now() - start < 2s);
}
