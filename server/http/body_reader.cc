#include "server/http/body_reader.h"

namespace saccade::http {

BodyReader::BodyReader(HttpRequest& request, size_t max_bytes, BodyBudget& budget, bool gzip)
    : request_(request), max_bytes_(max_bytes) {
  request_.body_share = std::make_shared<BodyBudget::Share>(budget);
  if (gzip) gunzip_.emplace();
}

bool BodyReader::push(std::string_view data) {
  received_ += data.size();
  if (fault_ == Fault::kNone) fault_ = take(data);
  return fault_ == Fault::kNone;
}

BodyReader::Fault BodyReader::take(std::string_view data) {
  std::string& body = request_.body;
  if (gunzip_) {
    switch (gunzip_->push(data, body, max_bytes_)) {
      case Gunzip::Result::kTooLarge:
        return Fault::kTooLarge;
      case Gunzip::Result::kMalformed:
        return Fault::kMalformed;
      case Gunzip::Result::kOk:
        break;
    }
  } else {
    if (body.size() + data.size() > max_bytes_) return Fault::kTooLarge;
    body.append(data);
  }
  return request_.body_share->grow_to(body.size()) ? Fault::kNone : Fault::kNoMemory;
}

BodyReader::Fault BodyReader::end(Fault arrived) {
  if (fault_ == Fault::kNone) fault_ = arrived;
  const bool unfinished = gunzip_ && received_ > 0 && !gunzip_->finished();
  if (fault_ == Fault::kNone && unfinished) fault_ = Fault::kMalformed;
  if (fault_ != Fault::kNone) request_.free_body();
  return fault_;
}

}  // namespace saccade::http
