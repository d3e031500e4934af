#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

constexpr uint8_t kExifFlag = 0x08, kXmpFlag = 0x04, kAlphaFlag = 0x10;

Status truncated_webp() { return invalid_argument("damaged WebP: truncated header"); }

// Lossy bitstream (RFC 6386 section 9.1): 3 bytes of frame tag, 3 of start code, 14-bit sizes.
Status read_vp8(const ByteReader& chunk, ProbedHeader* header) {
  if (!chunk.has(0, 10)) return truncated_webp();
  const bool key_frame = (chunk.u8(0) & 1) == 0;
  if (!key_frame || chunk.view(3, 3) != "\x9d\x01\x2a") {
    return invalid_argument("damaged WebP: not a VP8 key frame");
  }
  header->width = chunk.u16le(6) & 0x3FFF;
  header->height = chunk.u16le(8) & 0x3FFF;
  header->channels = 3;
  return Status();
}

// Lossless bitstream: a signature byte, then 14 + 14 + 1 + 3 bits.
Status read_vp8l(const ByteReader& chunk, ProbedHeader* header) {
  if (!chunk.has(0, 5)) return truncated_webp();
  if (chunk.u8(0) != 0x2F) return invalid_argument("damaged WebP: not a VP8L bitstream");
  const uint32_t bits = chunk.u32le(1);
  header->width = (bits & 0x3FFF) + 1;
  header->height = (bits >> 14 & 0x3FFF) + 1;
  header->channels = (bits >> 28 & 1) != 0 ? 4 : 3;
  return Status();
}

}  // namespace

Result<ProbedHeader> probe_webp(std::string_view bytes) {
  const ByteReader file(bytes);
  if (!file.has(0, 30)) return truncated_webp();
  const std::string_view type = file.view(12, 4);
  ProbedHeader header;
  header.bit_depth = 8;
  if (type != "VP8X") {
    const ByteReader chunk(file.view(20, file.u32le(16)));
    Status status = type == "VP8 "   ? read_vp8(chunk, &header)
                    : type == "VP8L" ? read_vp8l(chunk, &header)
                                     : invalid_argument("damaged WebP: unknown first chunk");
    if (!status.ok()) return status;
    return header;
  }
  if (file.u32le(16) < 10) return truncated_webp();
  const uint8_t flags = file.u8(20);
  header.width = file.u24le(24) + 1;
  header.height = file.u24le(27) + 1;
  header.channels = (flags & kAlphaFlag) != 0 ? 4 : 3;
  size_t at = 20 + size_t{file.u32le(16)};
  at += at & 1;
  while (file.has(at, 8)) {
    const size_t length = file.u32le(at + 4);
    if (!file.has(at + 8, length)) break;  // the demuxer refuses the file later
    const std::string_view chunk_type = file.view(at, 4);
    const std::string_view data = file.view(at + 8, length);
    if (chunk_type == "EXIF" && (flags & kExifFlag) != 0 && !header.exif) header.exif = data;
    if (chunk_type == "XMP " && (flags & kXmpFlag) != 0 && !header.xmp) header.xmp = data;
    at += 8 + length + (length & 1);
  }
  return header;
}

}  // namespace saccade::media
