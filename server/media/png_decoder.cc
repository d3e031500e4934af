#include <png.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "server/media/format_decoders.h"

namespace saccade::media {
namespace {

// Owns a libpng reader over a buffer. libpng reports errors by longjmp, so nothing with a
// destructor may live in the functions that call it; they are the members whose name ends in _png.
class PngReader {
 public:
  explicit PngReader(std::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool usable() const { return info_ != nullptr; }
  const char* error() const { return error_; }

  int color_type = 0;
  int bit_depth = 0;  // as stored
  uint32_t width = 0;
  uint32_t height = 0;
  size_t row_bytes = 0;  // after the transformations
  std::array<png_color, 256> palette{};

  // Reads everything up to the pixels and sets the transformations up.
  bool read_header_png(uint32_t max_width, uint32_t max_height) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, on_read);
    png_set_user_limits(png_, max_width, max_height);
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Colour spaces, text and time play no part; unread, they cannot do harm either.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    width = png_get_image_width(png_, info_);
    height = png_get_image_height(png_, info_);
    color_type = png_get_color_type(png_, info_);
    bit_depth = png_get_bit_depth(png_, info_);
    png_colorp colors = nullptr;
    int count = 0;
    if (color_type == PNG_COLOR_TYPE_PALETTE && png_get_PLTE(png_, info_, &colors, &count) != 0) {
      std::memcpy(palette.data(), colors,
                  sizeof(png_color) * static_cast<size_t>(std::clamp(count, 0, 256)));
    }
    if (bit_depth < 8) png_set_packing(png_);
    if ((color_type & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png_);
    // 16-bit colour keeps its high byte; 16-bit gray is clipped below and needs both.
    if (color_type != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    row_bytes = png_get_rowbytes(png_, info_);
    return true;
  }

  bool read_pixels_png(png_bytep* rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    return true;
  }

 private:
  static void on_read(png_structp png, png_bytep out, size_t size) {
    auto* reader = static_cast<PngReader*>(png_get_io_ptr(png));
    if (size > reader->bytes_.size() - reader->position_) png_error(png, "truncated");
    std::memcpy(out, reader->bytes_.data() + reader->position_, size);
    reader->position_ += size;
  }
  static void on_error(png_structp png, png_const_charp message) {
    auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(reader->error_, sizeof reader->error_, "%s", message);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}

  std::string_view bytes_;
  size_t position_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char error_[96] = {};
};

// One byte per pixel -> RGB through a table.
void expand(const uint8_t* in, size_t count, const std::array<png_color, 256>& table,
            uint8_t* out) {
  for (size_t i = 0; i < count; ++i) {
    const png_color& color = table[in[i]];
    *out++ = color.red;
    *out++ = color.green;
    *out++ = color.blue;
  }
}

void expand_gray16(const uint8_t* in, size_t count, uint8_t* out) {
  for (size_t i = 0; i < count; ++i, in += 2, out += 3) {
    const uint8_t level = in[0] != 0 ? uint8_t{255} : in[1];
    out[0] = out[1] = out[2] = level;
  }
}

std::array<png_color, 256> gray_table(int bit_depth) {
  std::array<png_color, 256> table{};
  const int levels = 1 << std::min(bit_depth, 8);
  for (int i = 0; i < levels; ++i) {
    const auto level = static_cast<png_byte>(i * 255 / (levels - 1));
    table[static_cast<size_t>(i)] = {level, level, level};
  }
  return table;
}

}  // namespace

Status decode_png(std::string_view bytes, RgbImage* image) {
  PngReader reader(bytes);
  if (!reader.usable()) throw std::bad_alloc();
  const auto width = static_cast<uint32_t>(image->width);
  const auto height = static_cast<uint32_t>(image->height);
  if (!reader.read_header_png(width, height)) return damaged("PNG", reader.error());
  if (reader.width != width || reader.height != height) {
    return damaged("PNG", "its size is not what its header says");
  }
  const bool rgb = (reader.color_type & PNG_COLOR_MASK_COLOR) != 0 &&
                   reader.color_type != PNG_COLOR_TYPE_PALETTE;
  const bool gray16 = reader.color_type == PNG_COLOR_TYPE_GRAY && reader.bit_depth == 16;
  const size_t expected = size_t{width} * (rgb ? 3 : gray16 ? 2 : 1);
  if (reader.row_bytes != expected) return damaged("PNG", "unexpected row length");
  std::vector<uint8_t> samples(rgb ? 0 : expected * height);
  std::vector<png_bytep> rows(height);
  for (uint32_t y = 0; y < height; ++y) {
    rows[y] = rgb ? image->row(static_cast<int>(y)) : samples.data() + expected * y;
  }
  if (!reader.read_pixels_png(rows.data())) return damaged("PNG", reader.error());
  if (gray16) {
    expand_gray16(samples.data(), size_t{width} * height, image->pixels.data());
  } else if (!rgb) {
    const bool indexed = reader.color_type == PNG_COLOR_TYPE_PALETTE;
    expand(samples.data(), samples.size(), indexed ? reader.palette : gray_table(reader.bit_depth),
           image->pixels.data());
  }
  return Status();
}

}  // namespace saccade::media
