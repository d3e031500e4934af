#include "server/http/receive_body.h"

#include <algorithm>

#include "server/http/chunked.h"

namespace saccade::http {
namespace {

using Fault = BodyReader::Fault;

constexpr uint64_t kSmallestOnWire = 65536;  // bytes

Fault fault_of(ChunkedDecoder::State state) {
  if (state == ChunkedDecoder::State::kMalformed) return Fault::kBadChunks;
  return state == ChunkedDecoder::State::kTooLarge ? Fault::kTooLarge : Fault::kNone;
}

}  // namespace

Fault receive_body(Connection& connection, const RequestHead& head, size_t max_bytes,
                   BodyReader& body) {
  ChunkedDecoder chunks(max_bytes);
  uint64_t left = head.content_length.value_or(0);
  uint64_t left_on_wire = 2 * uint64_t{max_bytes} + kSmallestOnWire;
  while (head.chunked ? !chunks.ended() : left > 0) {
    const ssize_t here = connection.wait_body();
    if (here <= 0) return here == 0 ? Fault::kEndedEarly : Fault::kIncomplete;
    const std::string_view data = connection.buffered();
    std::string_view content =
        data.substr(0, static_cast<size_t>(std::min<uint64_t>(left, data.size())));
    size_t taken = content.size();
    if (head.chunked) {
      taken = chunks.push(data, content);
    } else {
      left -= taken;
    }
    if (taken > left_on_wire) return Fault::kTooLarge;
    left_on_wire -= taken;
    const bool wanted = content.empty() || body.push(content);
    connection.consume(taken);
    if (!wanted) return Fault::kIncomplete;
  }
  return fault_of(chunks.state());
}

}  // namespace saccade::http
