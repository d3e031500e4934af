#pragma once

#include <string>

#include "server/media/media_client.h"
#include "server/media/url_guard.h"

namespace saccade {

// The bytes behind an http(s) URL, within the policy: each hop (at most max_redirects) is parsed,
// allowed and resolved anew, and the connection goes to the address that was checked. Proxies of
// the environment are ignored, and nothing of the client's request is passed on. Blocks for at most
// the policy's time. InvalidArgument when it cannot be had; kCancelled: the client left.
Result<std::string> fetch_media(const std::string& url, const FetchPolicy& policy,
                                const MediaClient& client);

}  // namespace saccade
