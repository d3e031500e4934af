#include "server/media/bmp_header.h"

#include <algorithm>

#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

constexpr size_t kFileHeader = 14;
enum Compression : uint32_t {
  kUncompressed = 0,
  kCompressedRle8 = 1,
  kCompressedRle4 = 2,
  kBitfields = 3
};

struct InfoHeader {
  uint32_t size = 0;
  uint32_t compression = kUncompressed;
  uint32_t colors = 0;
  int palette_entry = 4;            // bytes
  std::array<uint32_t, 4> masks{};  // R, G, B, A
  size_t end = 0;                   // offset behind the header and the masks
};

Status truncated_bmp() { return invalid_argument("damaged BMP: truncated header"); }

bool known_header_size(uint32_t size) {
  return size == 40 || size == 52 || size == 56 || size == 64 || size == 108 || size == 124;
}

// Masks stand in the header when it is long enough, else right behind it.
Status read_masks(const ByteReader& file, InfoHeader* info) {
  const size_t at = kFileHeader + 40;
  const bool inside = info->size >= 52;
  if (!inside && !file.has(at, 12)) return truncated_bmp();
  for (size_t i = 0; i < 3; ++i) info->masks[i] = file.u32le(at + 4 * i);
  if (info->size >= 56) info->masks[3] = file.u32le(at + 12);
  if (!inside) info->end += 12;
  return Status();
}

Status read_info(const ByteReader& file, InfoHeader* info, BmpHeader* header) {
  if (!file.has(kFileHeader, 4)) return truncated_bmp();
  info->size = file.u32le(kFileHeader);
  if (info->size != 12 && !known_header_size(info->size)) {
    return invalid_argument("unsupported BMP: unknown kind of header");
  }
  if (!file.has(kFileHeader, info->size)) return truncated_bmp();
  info->end = kFileHeader + info->size;
  if (info->size == 12) {
    header->width = file.u16le(18);
    header->height = file.u16le(20);
    header->bits = static_cast<int>(file.u16le(24));
    info->palette_entry = 3;
  } else {
    header->width = file.u32le(18);
    header->top_down = file.u8(25) == 0xFF;
    header->height = header->top_down ? 0u - file.u32le(22) : file.u32le(22);
    header->bits = static_cast<int>(file.u16le(28));
    info->compression = file.u32le(30);
    info->colors = file.u32le(46);
  }
  if (info->compression == kBitfields) return read_masks(file, info);
  return Status();
}

Status read_byte_layout(const InfoHeader& info, BmpHeader* header) {
  struct Known {
    int bits;
    std::array<uint32_t, 4> masks;
    std::array<int, 3> rgb_offset;
  };
  static constexpr Known kKnown[] = {
      {32, {0xFF0000, 0xFF00, 0xFF, 0}, {2, 1, 0}},
      {32, {0xFF000000, 0xFF0000, 0xFF00, 0}, {3, 2, 1}},
      {32, {0xFF000000, 0xFF00, 0xFF, 0}, {3, 1, 0}},
      {32, {0xFF000000, 0xFF0000, 0xFF00, 0xFF}, {3, 2, 1}},
      {32, {0xFF, 0xFF00, 0xFF0000, 0xFF000000}, {0, 1, 2}},
      {32, {0xFF0000, 0xFF00, 0xFF, 0xFF000000}, {2, 1, 0}},
      {32, {0xFF000000, 0xFF00, 0xFF, 0xFF0000}, {3, 1, 0}},
      {32, {0, 0, 0, 0}, {2, 1, 0}},
      {24, {0xFF0000, 0xFF00, 0xFF, 0}, {2, 1, 0}},
  };
  const auto same_rgb = [&](const std::array<uint32_t, 4>& masks) {
    return std::equal(masks.begin(), masks.begin() + 3, info.masks.begin());
  };
  if (header->bits == 16 && same_rgb({0xF800, 0x7E0, 0x1F, 0})) {
    header->layout = BmpLayout::kRgb565;
    return Status();
  }
  if (header->bits == 16 && same_rgb({0x7C00, 0x3E0, 0x1F, 0})) {
    header->layout = BmpLayout::kRgb555;
    return Status();
  }
  for (const Known& known : kKnown) {
    if (known.bits == header->bits && same_rgb(known.masks) &&
        (known.bits != 32 || known.masks[3] == info.masks[3])) {
      header->layout = BmpLayout::kBytes;
      header->rgb_offset = known.rgb_offset;
      return Status();
    }
  }
  return invalid_argument("unsupported BMP: unknown bit fields");
}

Status read_layout(const InfoHeader& info, BmpHeader* header) {
  switch (header->bits) {
    case 1:
      header->layout = BmpLayout::kBits1;
      break;
    case 4:
      header->layout = BmpLayout::kBits4;
      break;
    case 8:
      header->layout = BmpLayout::kBits8;
      break;
    case 16:
      header->layout = BmpLayout::kRgb555;
      break;
    case 24:
    case 32:
      header->layout = BmpLayout::kBytes;
      header->rgb_offset = {2, 1, 0};
      break;
    default:
      return invalid_argument("unsupported BMP: " + std::to_string(header->bits) +
                              " bits per pixel");
  }
  switch (info.compression) {
    case kUncompressed:
      return Status();
    case kCompressedRle8:
      header->encoding = BmpEncoding::kRle8;
      return Status();
    case kCompressedRle4:
      header->encoding = BmpEncoding::kRle4;
      return Status();
    case kBitfields:
      return read_byte_layout(info, header);
    default:
      return invalid_argument("unsupported BMP: unknown compression");
  }
}

// Reads the palette behind the header. A palette that is a plain gray ramp makes the file a gray
// one, whose rows then hold whole bytes (or, with two colours, bits), whatever its depth said.
Status read_palette(const ByteReader& file, const InfoHeader& info, uint64_t colors,
                    BmpHeader* header) {
  if (colors == 0 || colors > 65536) return invalid_argument("unsupported BMP: palette size");
  const size_t entry = static_cast<size_t>(info.palette_entry);
  const std::string_view bytes = file.view(info.end, entry * colors);
  const ByteReader palette(bytes);
  bool gray = true;
  for (size_t i = 0; i < colors && gray; ++i) {
    const uint8_t level = static_cast<uint8_t>(colors == 2 && i == 1 ? 255 : i);
    gray = palette.has(i * entry, 3) && palette.u8(i * entry) == level &&
           palette.u8(i * entry + 1) == level && palette.u8(i * entry + 2) == level;
  }
  if (gray) {
    header->layout = colors == 2 ? BmpLayout::kMono1 : BmpLayout::kGray8;
    return Status();
  }
  const size_t whole = bytes.size() / entry;
  if (whole > header->palette.size()) return invalid_argument("unsupported BMP: palette size");
  for (size_t i = 0; i < whole; ++i) {
    header->palette[i] = {palette.u8(i * entry + 2), palette.u8(i * entry + 1),
                          palette.u8(i * entry)};
  }
  header->has_palette = true;
  return Status();
}

}  // namespace

Result<BmpHeader> read_bmp_header(std::string_view bytes) {
  const ByteReader file(bytes);
  BmpHeader header;
  InfoHeader info;
  if (Status status = read_info(file, &info, &header); !status.ok()) return status;
  if (Status status = read_layout(info, &header); !status.ok()) return status;
  uint64_t offset = file.u32le(10);
  size_t position = info.end;
  if (header.bits <= 8) {
    const uint64_t colors = info.colors != 0 ? info.colors : uint64_t{1} << header.bits;
    if (offset == kFileHeader + info.size) offset += 4 * colors;
    if (Status status = read_palette(file, info, colors, &header); !status.ok()) return status;
    position = std::min<uint64_t>(file.size(),
                                  info.end + colors * static_cast<unsigned>(info.palette_entry));
  }
  header.pixel_offset = offset != 0 ? offset : position;
  return header;
}

Result<ProbedHeader> probe_bmp(std::string_view bytes) {
  const Result<BmpHeader> bmp = read_bmp_header(bytes);
  if (!bmp.ok()) return bmp.status();
  ProbedHeader header;
  header.width = bmp->width;
  header.height = bmp->height;
  const bool whole_bytes = bmp->bits >= 24;
  header.channels = bmp->bits <= 8 ? 1 : whole_bytes ? bmp->bits / 8 : 3;
  header.bit_depth = bmp->bits <= 8 ? bmp->bits : whole_bytes ? 8 : 5;
  return header;
}

}  // namespace saccade::media
