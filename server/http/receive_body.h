#pragma once

#include "server/http/body_reader.h"
#include "server/http/connection.h"

namespace saccade::http {

// Reads the body that follows `head` off its connection into `body`. kNone when all of it has
// arrived; else why not, for BodyReader::end(), which knows better when the body itself was
// refused. A body takes at most twice `max_bytes` on the wire, chunk sizes included.
BodyReader::Fault receive_body(Connection& connection, const RequestHead& head, size_t max_bytes,
                               BodyReader& body);

}  // namespace saccade::http
