#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "server/api/messages/messages.h"
#include "server/api/routes.h"
#include "server/commands.h"
#include "server/logging.h"
#include "server/process.h"

namespace saccade {
namespace {

// SIGINT, SIGTERM and the end of the terminal (unless nohup has it ignored), taken by one thread:
// the first asks for a clean stop, the second ends the program on the spot. Made before any other
// thread, which all inherit the blocked signals. A stray SIGUSR1 or SIGUSR2 ends nobody's answer.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    if (signal(SIGHUP, SIG_DFL) == SIG_IGN) {
      signal(SIGHUP, SIG_IGN);
    } else {
      sigaddset(&set_, SIGHUP);
    }
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    for (const int ignored : {SIGPIPE, SIGUSR1, SIGUSR2}) signal(ignored, SIG_IGN);
    std::thread([this] { watch(); }).detach();
  }

  // A stop before this is called ends the program at once: there is nothing to drain yet.
  void ready() {
    std::lock_guard lock(mutex_);
    ready_ = true;
  }
  void wait() {
    std::unique_lock lock(mutex_);
    asked_.wait(lock, [this] { return stop_; });
  }
  void request_stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    asked_.notify_all();
  }

 private:
  void watch() {
    int signal_number = 0;
    sigwait(&set_, &signal_number);
    {
      std::lock_guard lock(mutex_);
      if (!ready_) std::_Exit(0);
    }
    request_stop();
    sigwait(&set_, &signal_number);
    std::_Exit(128 + signal_number);
  }

  sigset_t set_;
  std::mutex mutex_;
  std::condition_variable asked_;
  bool ready_ = false;
  bool stop_ = false;
};

// Of what a client has put into its path: bytes beyond ASCII may be no UTF-8, or move a terminal.
std::string printable(std::string text) {
  text.resize(std::min<size_t>(text.size(), 256));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text;
}

void log_access(const http::AccessRecord& record) {
  spdlog::info("{} {} {} {} {:.1f}ms id={}", record.remote_address, printable(record.method),
               printable(record.path), record.status, record.seconds * 1000, record.id);
  if (!record.failure.empty()) spdlog::error("{} failed: {}", record.id, printable(record.failure));
}

// Running and queued requests end on their own, new ones are refused on the still open port.
void drain(api::Service& service, std::chrono::milliseconds timeout) {
  const TimePoint deadline = Clock::now() + timeout;
  service.in_flight.close();
  spdlog::info("draining");
  if (!service.in_flight.wait_until_empty(deadline)) {
    spdlog::warn("requests still ran after {} ms and were cancelled", timeout.count());
  }
  *service.options.fetch.stopped = true;
  service.engine.stop();
}

}  // namespace

int run_serve(const ServeOptions& options) {
  StopSignals& signals = *new StopSignals;  // as long as its thread: until the program ends
  set_up_log(options);
  std::unique_ptr<api::Service> service;
  api::ServiceSlot slot{nullptr};
  http::HttpServerOptions http_options;
  http_options.limits = options.connections;
  int& places = http_options.limits.max_connections;
  places = connections_within_limit(places);
  if (places < options.connections.max_connections) {
    spdlog::warn("the limit of open files leaves room for {} connections", places);
  }
  http_options.api_keys = options.api_keys;
  http_options.cors_origins = options.cors_origins;
  http_options.other_errors = {"/v1/messages", "anthropic-version", api::message_error_body};
  http_options.on_finished = [&slot](const http::AccessRecord& record) {
    log_access(record);
    if (api::Service* ready = slot.load()) {
      ready->metrics.http_request(record.route, record.status, record.seconds);
    }
  };
  http::HttpServer server(std::move(http_options), api::make_routes(slot));
  const int port = server.bind(options.host, options.port);
  bool socket_failed = false;
  std::thread acceptor([&] {
    socket_failed = !server.serve();
    signals.request_stop();
  });

  int status = 0;
  try {
    service = load_service(options);
    slot = service.get();
    signals.ready();
    const bool v6 = options.host.find(':') != std::string::npos;
    std::fprintf(stderr, v6 ? "listening on http://[%s]:%d\n" : "listening on http://%s:%d\n",
                 options.host.c_str(), port);
    signals.wait();
    drain(*service, options.drain_timeout);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "saccade: %s\n", one_line(error.what()).c_str());
    status = 1;
  }
  server.stop();
  acceptor.join();
  spdlog::shutdown();
  return socket_failed ? 1 : status;
}

}  // namespace saccade
