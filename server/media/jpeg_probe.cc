#include "server/media/byte_reader.h"
#include "server/media/format_probes.h"

namespace saccade::media {
namespace {

constexpr std::string_view kExifPrefix("Exif\0\0", 6);
constexpr std::string_view kXmpPrefix("http://ns.adobe.com/xap/1.0/\0", 29);

bool is_start_of_frame(uint8_t marker) {
  return (marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC) ||
         marker == 0xDE;
}

bool has_segment(uint8_t marker) {
  return !(marker == 0xC8 || (marker >= 0xD0 && marker <= 0xD9) ||
           (marker >= 0xF0 && marker <= 0xFD));
}

Status read_frame(std::string_view segment, ProbedHeader* header) {
  const ByteReader frame(segment);
  if (!frame.has(0, 6)) return invalid_argument("damaged JPEG: truncated frame header");
  header->bit_depth = frame.u8(0);
  header->height = frame.u16be(1);
  header->width = frame.u16be(3);
  header->channels = frame.u8(5);
  if (header->bit_depth != 8) {
    return invalid_argument("unsupported JPEG: " + std::to_string(header->bit_depth) +
                            " bits per sample (8 are supported)");
  }
  if (header->channels != 1 && header->channels != 3 && header->channels != 4) {
    return invalid_argument("unsupported JPEG: " + std::to_string(header->channels) +
                            " components (1, 3 and 4 are supported)");
  }
  return Status();
}

void read_app1(std::string_view segment, ProbedHeader* header) {
  if (segment.starts_with(kExifPrefix)) {
    // A block over 64 KiB comes in several segments.
    if (header->exif) {
      header->exif->append(segment.substr(kExifPrefix.size()));
    } else {
      header->exif = segment;
    }
  } else if (segment.starts_with(kXmpPrefix)) {
    header->xmp = segment.substr(kXmpPrefix.size());
  }
}

}  // namespace

// Walks the markers up to the first scan, over junk as Pillow's reader does.
Result<ProbedHeader> probe_jpeg(std::string_view bytes) {
  const ByteReader file(bytes);
  ProbedHeader header;
  bool frame_seen = false;
  size_t at = 3;
  uint8_t current = 0xFF;
  while (file.has(at, 1)) {
    const uint8_t marker = file.u8(at++);
    if (current != 0xFF) {
      current = marker;
      continue;
    }
    if (marker == 0xFF) continue;  // padding
    if (marker >= 0xC0) {
      if (has_segment(marker)) {
        if (!file.has(at, 2)) break;
        const size_t length = file.u16be(at);
        if (length < 2 || !file.has(at, length)) break;
        const std::string_view segment = file.view(at + 2, length - 2);
        if (is_start_of_frame(marker)) {
          if (Status status = read_frame(segment, &header); !status.ok()) return status;
          frame_seen = true;
        } else if (marker == 0xE1) {
          read_app1(segment, &header);
        } else if (marker == 0xDA) {
          if (!frame_seen) return invalid_argument("damaged JPEG: no frame header before the scan");
          return header;
        }
        at += length;
      }
    } else if (marker != 0x00) {
      return invalid_argument("damaged JPEG: no marker found");
    }
    if (!file.has(at, 1)) break;
    current = file.u8(at++);
  }
  return invalid_argument("damaged JPEG: truncated before the picture data");
}

}  // namespace saccade::media
