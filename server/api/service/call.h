#pragma once

#include <memory>

#include "server/api/service/service.h"
#include "server/http/http_server.h"

namespace saccade::api {

// One request's place in the server, from its head to its last byte: a drain waits for it, and what
// it uses is on its key's account.
class Admission {
 public:
  // `key`: which API key the request brought; -1: none. `client` outlives this.
  Admission(std::shared_ptr<InFlight::Ticket> ticket, Account& account, int key,
            http::Client& client)
      : ticket_(std::move(ticket)), account_(account), key_(key), client_(client) {}
  ~Admission() {
    if (streams_) account_.close_stream();
  }
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  // Errors as Account's.
  Status take(Account::Kind kind, double amount) {
    return account_.take(kind, amount, Clock::now(), retry_after_);
  }
  void take_anyway(Account::Kind kind, double amount) {
    account_.take_anyway(kind, amount, Clock::now());
  }
  Status open_stream() {
    const Status status = streams_ ? Status() : account_.open_stream();
    streams_ = status.ok();
    return status;
  }

  Account& account() const { return account_; }
  MediaClient media_client() const {
    return {key_, [this] { return client_.gone(); }};
  }
  double retry_after() const { return retry_after_; }  // seconds, after a kRateLimited

 private:
  const std::shared_ptr<InFlight::Ticket> ticket_;
  Account& account_;
  const int key_;
  http::Client& client_;
  double retry_after_ = 1;
  bool streams_ = false;
};

// What a route's handler works on.
struct Call {
  Service& service;
  std::shared_ptr<Admission> admission;
  http::HttpRequest& request;
  http::Client& client;
};

}  // namespace saccade::api
