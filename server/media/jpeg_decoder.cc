#include <csetjmp>
#include <cstdio>
// jpeglib.h needs FILE and size_t before it.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <string>
#include <vector>

#include "server/media/format_decoders.h"

namespace saccade::media {
namespace {

// A progressive picture of n pixels needs 2n bytes per component while it is decoded: 384 MiB at
// 64 megapixels and three components. Above this libjpeg would want a temporary file; it has none.
constexpr long kMaxWorkingMemory = 640L << 20;  // bytes
// A progressive JPEG has about ten scans. Thousands of empty ones in a small file are an attack:
// each walks over all blocks of the picture.
constexpr int kMaxScans = 100;

enum class JpegOutcome { kDone, kDamaged, kTruncated };

// Owns a libjpeg decompressor over a buffer. libjpeg reports errors by longjmp, so nothing with a
// destructor may live in the functions that call it; they are the members whose name ends in
// _jpeg.
class JpegReader {
 public:
  explicit JpegReader(std::string_view bytes) {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = on_error;
    errors_.emit_message = on_warning;
    jpeg_.client_data = this;
    source_.next_input_byte = reinterpret_cast<const JOCTET*>(bytes.data());
    source_.bytes_in_buffer = bytes.size();
    source_.init_source = [](j_decompress_ptr) {};
    // All there is was in the buffer from the start: asking for more means truncated.
    source_.fill_input_buffer = [](j_decompress_ptr) -> boolean { return FALSE; };
    source_.skip_input_data = on_skip;
    source_.resync_to_restart = jpeg_resync_to_restart;
    source_.term_source = [](j_decompress_ptr) {};
    progress_.progress_monitor = on_progress;
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  int width() const { return static_cast<int>(jpeg_.output_width); }
  int height() const { return static_cast<int>(jpeg_.output_height); }
  int components() const { return jpeg_.output_components; }
  const char* error() const { return error_; }

  JpegOutcome read_header_jpeg() {
    if (setjmp(jump_) != 0) return JpegOutcome::kDamaged;
    jpeg_create_decompress(&jpeg_);
    jpeg_.mem->max_memory_to_use = kMaxWorkingMemory;
    jpeg_.src = &source_;
    jpeg_.progress = &progress_;
    if (jpeg_read_header(&jpeg_, TRUE) != JPEG_HEADER_OK) return JpegOutcome::kTruncated;
    jpeg_.out_color_space = jpeg_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_calc_output_dimensions(&jpeg_);
    return JpegOutcome::kDone;
  }

  JpegOutcome start_jpeg() {
    if (setjmp(jump_) != 0) return JpegOutcome::kDamaged;
    return jpeg_start_decompress(&jpeg_) ? JpegOutcome::kDone : JpegOutcome::kTruncated;
  }

  // Decodes the next row.
  JpegOutcome read_row_jpeg(uint8_t* row) {
    if (setjmp(jump_) != 0) return JpegOutcome::kDamaged;
    return jpeg_read_scanlines(&jpeg_, &row, 1) == 1 ? JpegOutcome::kDone : JpegOutcome::kTruncated;
  }

  // A progressive picture some of whose scans are damaged or missing. What libjpeg makes up for
  // them changes from release to release, so there is no right answer to give.
  bool partly_progressive() const {
    if (!jpeg_.progressive_mode) return false;
    // The lowest frequencies are those it guesses from the neighbourhood; 0: known exactly.
    constexpr int kGuessed = 10;
    bool missing = data_lost_;
    for (int c = 0; c < jpeg_.num_components && jpeg_.coef_bits != nullptr; ++c) {
      for (int i = 0; i < kGuessed; ++i) missing = missing || jpeg_.coef_bits[c][i] != 0;
    }
    return missing;
  }

  // Reads what follows the last row. What is damaged there fails; what is missing does not.
  JpegOutcome finish_jpeg() {
    if (setjmp(jump_) != 0) return JpegOutcome::kDamaged;
    jpeg_finish_decompress(&jpeg_);
    return JpegOutcome::kDone;
  }

 private:
  static JpegReader* self(j_common_ptr jpeg) { return static_cast<JpegReader*>(jpeg->client_data); }
  static void on_error(j_common_ptr jpeg) {
    JpegReader* reader = self(jpeg);
    jpeg->err->format_message(jpeg, reader->error_);
    std::longjmp(reader->jump_, 1);
  }
  // libjpeg goes on after a warning, with gray where data is missing. So does Pillow.
  static void on_warning(j_common_ptr jpeg, int level) {
    const int code = jpeg->err->msg_code;
    if (level < 0 &&
        (code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_MUST_RESYNC)) {
      self(jpeg)->data_lost_ = true;
    }
  }
  static void on_progress(j_common_ptr jpeg) {
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= kMaxScans) return;
    std::snprintf(self(jpeg)->error_, sizeof self(jpeg)->error_, "too many scans");
    std::longjmp(self(jpeg)->jump_, 1);
  }
  static void on_skip(j_decompress_ptr jpeg, long count) {
    if (count <= 0) return;
    const size_t skipped = std::min(static_cast<size_t>(count), jpeg->src->bytes_in_buffer);
    jpeg->src->next_input_byte += skipped;
    jpeg->src->bytes_in_buffer -= skipped;
  }

  jpeg_decompress_struct jpeg_{};
  jpeg_error_mgr errors_{};
  jpeg_source_mgr source_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_;
  bool data_lost_ = false;
  char error_[JMSG_LENGTH_MAX] = {};
};

Status failure(JpegOutcome outcome, const JpegReader& reader) {
  return damaged("JPEG", outcome == JpegOutcome::kTruncated ? "truncated" : reader.error());
}

// CMYK as Adobe writes it (255: no ink) -> RGB, rounded as Pillow's convert("RGB") does.
void cmyk_to_rgb(const uint8_t* in, int count, uint8_t* out) {
  for (int i = 0; i < count; ++i, in += 4, out += 3) {
    const int white = in[3];  // 255 - black ink
    for (int c = 0; c < 3; ++c) {
      const int product = (255 - in[c]) * white + 128;
      const int ink = (product + (product >> 8)) >> 8;  // ink * white / 255, rounded
      out[c] = static_cast<uint8_t>(std::clamp(white - ink, 0, 255));
    }
  }
}

}  // namespace

Status decode_jpeg(std::string_view bytes, RgbImage* image) {
  JpegReader reader(bytes);
  JpegOutcome outcome = reader.read_header_jpeg();
  if (outcome != JpegOutcome::kDone) return failure(outcome, reader);
  // Before start_jpeg, which allocates by the picture's own idea of its size.
  if (reader.width() != image->width || reader.height() != image->height) {
    return damaged("JPEG", "its size is not what its header says");
  }
  outcome = reader.start_jpeg();
  if (outcome != JpegOutcome::kDone) return failure(outcome, reader);
  if (reader.partly_progressive()) return damaged("JPEG", "scans are damaged or missing");
  const bool cmyk = reader.components() == 4;
  if (!cmyk && reader.components() != 3) return damaged("JPEG", "unexpected number of components");
  std::vector<uint8_t> inks(cmyk ? size_t(image->width) * 4 : 0);
  for (int y = 0; y < image->height; ++y) {
    outcome = reader.read_row_jpeg(cmyk ? inks.data() : image->row(y));
    if (outcome != JpegOutcome::kDone) return failure(outcome, reader);
    if (cmyk) cmyk_to_rgb(inks.data(), image->width, image->row(y));
  }
  outcome = reader.finish_jpeg();
  if (outcome != JpegOutcome::kDone) return failure(outcome, reader);
  return Status();
}

}  // namespace saccade::media
