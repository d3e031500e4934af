#include <zlib.h>

#include <algorithm>

#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 20;  // Pillow's MAX_TEXT_CHUNK
// Of all texts of a picture together: a file that inflates to a thousand times its size is cheap.
constexpr size_t kMaxTextMemory = 8 * kMaxTextBytes;

// The zlib stream inflated, nothing when it is damaged. False when it is longer than the limit, or
// all streams together are.
bool inflate_text(std::string_view stream, size_t* inflated_bytes, std::string* out) {
  z_stream z{};
  if (inflateInit(&z) != Z_OK) return false;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(stream.data()));
  z.avail_in = static_cast<uInt>(stream.size());
  out->assign(kMaxTextBytes + 1, '\0');
  z.next_out = reinterpret_cast<Bytef*>(out->data());
  z.avail_out = static_cast<uInt>(out->size());
  const int code = inflate(&z, Z_FINISH);
  const size_t size = out->size() - z.avail_out;
  inflateEnd(&z);
  out->resize(code == Z_STREAM_END || code == Z_BUF_ERROR || code == Z_OK ? size : 0);
  *inflated_bytes += size;
  return size <= kMaxTextBytes && *inflated_bytes <= kMaxTextMemory;
}

// Text chunks that may hold EXIF or XMP, as Pillow files them; the last of a kind wins.
struct TextMetadata {
  std::optional<std::string> exif;         // key "exif" of a tEXt chunk
  std::optional<std::string> raw_profile;  // "Raw profile type exif", ImageMagick's hex form
  std::optional<std::string> xmp;
  size_t inflated_bytes = 0;  // so far, of every text
};

constexpr std::string_view kRawProfileKey = "Raw profile type exif";
constexpr std::string_view kXmpKey = "XML:com.adobe.xmp";
constexpr std::string_view kZero("\0", 1);

bool read_text_chunk(std::string_view type, std::string_view data, TextMetadata* text) {
  const size_t end = data.find('\0');
  if (end == std::string_view::npos) return true;
  const std::string_view key = data.substr(0, end);
  std::string_view value = data.substr(end + 1);
  std::string inflated;
  if (key != kRawProfileKey && key != kXmpKey && !(key == "exif" && type == "tEXt")) return true;
  if (type == "zTXt") {
    if (!value.empty() && value[0] != 0) return false;
    if (!value.empty() && !inflate_text(value.substr(1), &text->inflated_bytes, &inflated)) {
      return false;
    }
    value = inflated;
  } else if (type == "iTXt") {
    if (value.size() < 2) return true;
    const bool compressed = value[0] != 0;
    if (compressed && value[1] != 0) return true;
    value.remove_prefix(2);
    for (int i = 0; i < 2; ++i) {  // language and translated key
      const size_t zero = value.find('\0');
      if (zero == std::string_view::npos) return true;
      value.remove_prefix(zero + 1);
    }
    if (compressed) {
      if (!inflate_text(value, &text->inflated_bytes, &inflated)) return false;
      value = inflated;
    }
  }
  if (key == kRawProfileKey) {
    text->raw_profile = value;
  } else if (key == kXmpKey) {
    text->xmp = value;
  } else {
    text->exif = value;
  }
  return true;
}

// "\nexif\n   1234\n4578696600..." -> bytes. Nothing when it is not hexadecimal.
std::optional<std::string> decode_raw_profile(std::string_view profile) {
  for (int line = 0; line < 3; ++line) {
    const size_t newline = profile.find('\n');
    if (newline == std::string_view::npos) return std::nullopt;
    profile.remove_prefix(newline + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char c : profile) {
    if (c == '\n' || c == ' ' || c == '\t' || c == '\r') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  if (high >= 0) return std::nullopt;
  return bytes;
}

// Bits 0, 1, 2, ... of each entry: the depths 1, 2, 4, 8, 16 a colour type may have.
bool valid_depth(int color_type, int depth) {
  switch (color_type) {
    case 0:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case 3:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case 2:
    case 4:
    case 6:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

Status read_ihdr(const ByteReader& file, ProbedHeader* header) {
  if (!file.has(8, 8 + 13 + 4) || file.view(12, 4) != "IHDR" || file.u32be(8) != 13) {
    return invalid_argument("damaged PNG: the IHDR chunk is missing or truncated");
  }
  header->width = file.u32be(16);
  header->height = file.u32be(20);
  header->bit_depth = file.u8(24);
  const int color_type = file.u8(25);
  if (!valid_depth(color_type, header->bit_depth) || file.u8(26) != 0 || file.u8(27) != 0 ||
      file.u8(28) > 1) {
    return invalid_argument("damaged PNG: the IHDR chunk has invalid values");
  }
  static constexpr int kChannels[] = {1, 0, 3, 1, 2, 0, 4};
  header->channels = kChannels[color_type];
  return Status();
}

// The first frame of an animated PNG is the picture itself only when it covers all of it.
bool covers_canvas(const ByteReader& fctl, const ProbedHeader& header) {
  return fctl.has(0, 26) && fctl.u32be(4) == header.width && fctl.u32be(8) == header.height &&
         fctl.u32be(12) == 0 && fctl.u32be(16) == 0;
}

}  // namespace

Result<ProbedHeader> probe_png(std::string_view bytes) {
  const ByteReader file(bytes);
  ProbedHeader header;
  if (Status status = read_ihdr(file, &header); !status.ok()) return status;
  TextMetadata text;
  std::optional<std::string> exif_chunk;
  bool data_seen = false;
  size_t at = 8 + 8 + 13 + 4;
  // The metadata may stand behind the pixels, so all chunks are walked.
  while (file.has(at, 8)) {
    const size_t length = file.u32be(at);
    const std::string_view type = file.view(at + 4, 4);
    if (type == "IEND") break;
    if (!file.has(at + 8, length)) return invalid_argument("damaged PNG: truncated");
    const std::string_view data = file.view(at + 8, length);
    if (type == "IDAT") data_seen = true;
    if (type == "eXIf") exif_chunk = data;
    if (type == "fcTL" && !data_seen && !covers_canvas(ByteReader(data), header)) {
      return invalid_argument("damaged PNG: the first animation frame is not the whole picture");
    }
    if ((type == "tEXt" || type == "zTXt" || type == "iTXt") &&
        !read_text_chunk(type, data, &text)) {
      return invalid_argument("damaged PNG: a text chunk cannot be read");
    }
    at += 8 + length + 4;
  }
  if (!data_seen) return invalid_argument("damaged PNG: no picture data");
  header.exif = exif_chunk ? exif_chunk : text.exif;
  if (!header.exif && text.raw_profile) header.exif = decode_raw_profile(*text.raw_profile);
  header.xmp = text.xmp;
  return header;
}

}  // namespace saccade::media
