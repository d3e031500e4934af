#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace saccade {

// What went wrong with one request. The HTTP layer maps each code to one status and error type.
enum class StatusCode {
  kOk,
  kInvalidArgument,    // 400: the request is wrong; retrying it cannot help
  kTooLong,            // 400: prompt and answer do not fit into the model's length
  kNotFound,           // 404
  kModelNotFound,      // 404: a model that is not served here
  kPreviousNotFound,   // 400: the request goes on from what is not here (any more)
  kPayloadTooLarge,    // 413
  kResourceExhausted,  // 429: the queue is full; retry later
  kRateLimited,        // 429: the client has used up its share; retry later
  kUnavailable,        // 503: loading or draining
  kCancelled,          // the client left
  kInternal,           // 500: our fault
};

class Status {
 public:
  Status() = default;
  // `param` is the path of the request field at fault ("messages[0].content"), or empty.
  Status(StatusCode code, std::string message, std::string param = {})
      : code_(code), message_(std::move(message)), param_(std::move(param)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& param() const { return param_; }

  // The same failure, told of another field: a part knows what is wrong, its caller knows where.
  Status with_param(std::string param) const { return Status(code_, message_, std::move(param)); }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
  std::string param_;
};

inline Status invalid_argument(std::string message, std::string param = {}) {
  return Status(StatusCode::kInvalidArgument, std::move(message), std::move(param));
}

// A value or the Status that says why there is none.
template <typename T>
class Result {
 public:
  Result(T value) : state_(std::move(value)) {}         // NOLINT: implicit by design
  Result(Status status) : state_(std::move(status)) {}  // NOLINT: implicit by design

  bool ok() const { return std::holds_alternative<T>(state_); }
  explicit operator bool() const { return ok(); }
  const Status& status() const {
    static const Status kOkStatus;
    return ok() ? kOkStatus : std::get<Status>(state_);
  }

  T& operator*() & { return std::get<T>(state_); }
  const T& operator*() const& { return std::get<T>(state_); }
  T&& operator*() && { return std::get<T>(std::move(state_)); }
  T* operator->() { return &std::get<T>(state_); }
  const T* operator->() const { return &std::get<T>(state_); }

 private:
  std::variant<T, Status> state_;
};

// Thrown while a model folder is read, with one line that names the file and the field. Never
// thrown once the server accepts requests.
class LoadError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace saccade
