#include "server/media/exif.h"

#include <bit>
#include <cstdint>

#include "server/media/byte_reader.h"

namespace saccade::media {
namespace {

constexpr uint32_t kOrientationTag = 274;
constexpr int kUpright = 1;

enum class Lookup { kMalformed, kAbsent, kPresent };

struct ExifResult {
  Lookup lookup = Lookup::kAbsent;
  double value = kUpright;  // of the last tag 274 when it holds exactly one number
};

// Reads numbers of a TIFF structure in its byte order.
class TiffReader {
 public:
  TiffReader(std::string_view bytes, bool big_endian) : reader_(bytes), big_endian_(big_endian) {}
  uint32_t u16(size_t at) const { return big_endian_ ? reader_.u16be(at) : reader_.u16le(at); }
  uint32_t u32(size_t at) const { return big_endian_ ? reader_.u32be(at) : reader_.u32le(at); }
  uint64_t u64(size_t at) const {
    const uint64_t first = u32(at), second = u32(at + 4);
    return big_endian_ ? first << 32 | second : second << 32 | first;
  }
  bool has(size_t at, size_t count) const { return reader_.has(at, count); }

 private:
  ByteReader reader_;
  bool big_endian_;
};

// Bytes per value of a TIFF field type; 0 for types Pillow skips.
size_t unit_size(uint32_t type) {
  static constexpr uint8_t kSizes[] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
  return type < sizeof kSizes ? kSizes[type] : 0;
}

double number_at(const TiffReader& tiff, size_t at, uint32_t type, bool* is_number) {
  *is_number = true;
  switch (type) {
    case 3:
      return tiff.u16(at);
    case 8:
      return static_cast<int16_t>(tiff.u16(at));
    case 4:
    case 13:
      return tiff.u32(at);
    case 9:
      return static_cast<int32_t>(tiff.u32(at));
    case 5:
      return tiff.u32(at + 4) == 0 ? 0.0 : double(tiff.u32(at)) / tiff.u32(at + 4);
    case 11:
      return std::bit_cast<float>(tiff.u32(at));
    case 12:
      return std::bit_cast<double>(tiff.u64(at));
    case 16:
      return static_cast<double>(tiff.u64(at));
    default:  // bytes, text, signed bytes and rationals never carry an orientation
      *is_number = false;
      return kUpright;
  }
}

ExifResult read_exif(std::string_view bytes) {
  ExifResult result;
  while (bytes.substr(0, 6) == std::string_view("Exif\0\0", 6)) bytes.remove_prefix(6);
  if (bytes.empty()) return result;
  const std::string_view magic = bytes.substr(0, 4);
  const bool big_endian =
      magic == std::string_view("MM\0*", 4) || magic == std::string_view("MM*\0", 4);
  const bool little_endian =
      magic == std::string_view("II*\0", 4) || magic == std::string_view("II\0*", 4);
  const TiffReader tiff(bytes, big_endian);
  result.lookup = Lookup::kMalformed;
  if ((!big_endian && !little_endian) || !tiff.has(0, 8)) return result;
  const size_t directory = tiff.u32(4);
  result.lookup = Lookup::kAbsent;
  if (!tiff.has(directory, 2)) return result;
  const uint32_t entries = tiff.u16(directory);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (!tiff.has(entry, 12)) break;
    const uint32_t tag = tiff.u16(entry), type = tiff.u16(entry + 2);
    const uint64_t size = uint64_t{tiff.u32(entry + 4)} * unit_size(type);
    if (size == 0) continue;
    const size_t at = size <= 4 ? entry + 8 : tiff.u32(entry + 8);
    if (!tiff.has(at, size)) break;  // Pillow stops reading the directory here too
    if (tag != kOrientationTag) continue;
    bool is_number = false;
    const double value = number_at(tiff, at, type, &is_number);
    result.lookup = Lookup::kPresent;
    result.value = is_number && size == unit_size(type) ? value : double{kUpright};
  }
  return result;
}

// The digit behind `tiff:Orientation="` or `tiff:Orientation>`, 0 when there is none.
int read_xmp(std::string_view xmp) {
  constexpr std::string_view kKey = "tiff:Orientation";
  for (size_t at = xmp.find(kKey); at != std::string_view::npos; at = xmp.find(kKey, at + 1)) {
    const std::string_view rest = xmp.substr(at + kKey.size(), 3);
    const size_t skip = rest.substr(0, 2) == "=\"" ? 2 : rest.substr(0, 1) == ">" ? 1 : 0;
    if (skip != 0 && rest.size() > skip && rest[skip] >= '0' && rest[skip] <= '9') {
      return rest[skip] - '0';
    }
  }
  return 0;
}

}  // namespace

int find_orientation(std::optional<std::string_view> exif, std::optional<std::string_view> xmp) {
  const ExifResult result = exif ? read_exif(*exif) : ExifResult{};
  if (result.lookup == Lookup::kMalformed) return kUpright;
  double value = result.value;
  if (result.lookup == Lookup::kAbsent && xmp) value = read_xmp(*xmp);
  for (int orientation = 2; orientation <= 8; ++orientation) {
    if (value == orientation) return orientation;
  }
  return kUpright;
}

}  // namespace saccade::media
