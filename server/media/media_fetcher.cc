#include "server/media/media_fetcher.h"

#include <curl/curl.h>

#include <chrono>
#include <memory>
#include <mutex>

namespace saccade {
namespace {

using Clock = std::chrono::steady_clock;

void initialise_library() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

struct Download {
  std::string bytes;
  size_t max_bytes = 0;
  bool too_large = false;
};

size_t receive(char* data, size_t, size_t size, void* target) {
  auto& download = *static_cast<Download*>(target);
  download.too_large = download.bytes.size() + size > download.max_bytes;
  if (download.too_large) return 0;  // ends the transfer
  download.bytes.append(data, size);
  return size;
}

// Who waits for a transfer: the server as long as it is not told to stop, and its client.
struct Waiting {
  const FetchPolicy& policy;
  const MediaClient& client;
};

// Asked about once a second, and when bytes come: not 0 ends the transfer.
int look_whether_wanted(void* waiting, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& [policy, client] = *static_cast<const Waiting*>(waiting);
  return *policy.stopped || client.left() ? 1 : 0;
}

struct Hop {
  std::string bytes;
  std::string redirect;  // where to go on; empty: `bytes` are the picture
};

Result<Hop> fetch_hop(const MediaUrl& url, const std::string& address, Waiting waiting,
                      int timeout_ms) {
  const FetchPolicy& policy = waiting.policy;
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return Status(StatusCode::kInternal, "no memory for a transfer");
  const std::string pin = url.host() + ":" + url.port() + ":" + address;
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> pins(
      curl_slist_append(nullptr, pin.c_str()), curl_slist_free_all);
  Download download;
  download.max_bytes = policy.max_bytes;
  const auto set = [&](CURLoption option, auto value) {
    curl_easy_setopt(curl.get(), option, value);
  };
  set(CURLOPT_CURLU, static_cast<CURLU*>(url.handle()));
  set(CURLOPT_RESOLVE, pins.get());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, "saccade");
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(policy.connect_timeout_ms));
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(timeout_ms));
  set(CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(policy.max_bytes));
  set(CURLOPT_WRITEFUNCTION, receive);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&download));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, look_whether_wanted);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&waiting));
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    return *policy.stopped ? Status(StatusCode::kUnavailable, "the server is shutting down")
                           : Status(StatusCode::kCancelled, "the client left");
  }
  if (download.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    return invalid_argument("the picture is larger than " + std::to_string(policy.max_bytes) +
                            " bytes");
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return invalid_argument("the picture could not be fetched in time");
  }
  if (code != CURLE_OK) {
    return invalid_argument(std::string("the picture could not be fetched: ") +
                            curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  char* redirect = nullptr;
  curl_easy_getinfo(curl.get(), CURLINFO_REDIRECT_URL, &redirect);
  if (status >= 300 && status < 400 && redirect != nullptr) return Hop{{}, redirect};
  if (status != 200) {
    return invalid_argument("the picture's host answered with status " + std::to_string(status));
  }
  return Hop{std::move(download.bytes), {}};
}

}  // namespace

Result<std::string> fetch_media(const std::string& text, const FetchPolicy& policy,
                                const MediaClient& client) {
  initialise_library();
  const auto deadline = Clock::now() + std::chrono::milliseconds(policy.total_timeout_ms);
  std::string next = text;
  for (int hop = 0; hop <= policy.max_redirects; ++hop) {
    const Result<MediaUrl> url = MediaUrl::parse(next, policy);
    if (!url) return url.status();
    const Result<std::string> address = resolve_pinned(*url, policy, deadline);
    if (!address) return address.status();
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return invalid_argument("the picture could not be fetched in time");
    Result<Hop> got = fetch_hop(*url, *address, {policy, client}, static_cast<int>(left));
    if (!got) return got.status();
    if (got->redirect.empty()) return std::move(got->bytes);
    next = std::move(got->redirect);
  }
  return invalid_argument("the picture's host redirects more than " +
                          std::to_string(policy.max_redirects) + " times");
}

}  // namespace saccade
