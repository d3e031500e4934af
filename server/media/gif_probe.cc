#include <algorithm>

#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

size_t palette_bytes(uint8_t flags) {
  return (flags & 0x80) != 0 ? size_t{3} << ((flags & 7) + 1) : 0;
}

// The offset behind a chain of sub-blocks, or past the end of the file.
size_t skip_sub_blocks(const ByteReader& file, size_t at) {
  while (file.has(at, 1)) {
    const size_t length = file.u8(at);
    at += 1 + length;
    if (length == 0) break;
  }
  return at;
}

}  // namespace

// The canvas is the logical screen, grown where the first frame reaches beyond it.
Result<ProbedHeader> probe_gif(std::string_view bytes) {
  const ByteReader file(bytes);
  if (!file.has(0, 13)) return invalid_argument("damaged GIF: truncated header");
  ProbedHeader header;
  header.width = file.u16le(6);
  header.height = file.u16le(8);
  header.channels = 1;
  header.bit_depth = 8;
  size_t at = 13 + palette_bytes(file.u8(10));
  while (file.has(at, 1)) {
    const uint8_t block = file.u8(at);
    if (block == '!') {
      at = skip_sub_blocks(file, at + 2);
    } else if (block == ',') {
      if (!file.has(at, 10)) break;
      header.width = std::max(header.width, file.u16le(at + 1) + file.u16le(at + 5));
      header.height = std::max(header.height, file.u16le(at + 3) + file.u16le(at + 7));
      return header;
    } else {
      return invalid_argument("damaged GIF: no picture in it");
    }
  }
  return invalid_argument("damaged GIF: truncated before the picture data");
}

}  // namespace saccade::media
