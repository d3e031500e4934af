#include "server/media/video_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

extern "C" {
#include <libavutil/dict.h>
#include <libavutil/mem.h>
}

namespace saccade::media {
namespace {

// Names of FFmpeg's demuxers. None of them follows a reference to other files: mov's are off by
// default (enable_drefs), and playlists (hls, concat, dash) are not here.
constexpr const char* kContainers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif";
constexpr std::array kCodecs = {AV_CODEC_ID_H264, AV_CODEC_ID_HEVC,  AV_CODEC_ID_MPEG4,
                                AV_CODEC_ID_VP8,  AV_CODEC_ID_VP9,   AV_CODEC_ID_AV1,
                                AV_CODEC_ID_GIF,  AV_CODEC_ID_MJPEG, AV_CODEC_ID_RAWVIDEO};
constexpr int kBufferBytes = 1 << 16;
constexpr int64_t kMaxCodedPixels = std::numeric_limits<int>::max();  // FFmpeg's own limit

// What is coded may be larger than what is shown, by whole blocks and edges.
int64_t coded_pixels(int64_t shown) { return 2 * std::min(shown, kMaxCodedPixels / 2); }

}  // namespace

void AvDeleter::operator()(AVIOContext* io) const {
  av_freep(&io->buffer);
  avio_context_free(&io);
}

Result<std::unique_ptr<VideoFile>> VideoFile::open(std::string_view bytes,
                                                   Clock::time_point deadline, int64_t max_pixels) {
  av_log_set_level(AV_LOG_QUIET);  // what it says of a user's file goes to the user
  std::unique_ptr<VideoFile> file(new VideoFile(bytes, deadline, max_pixels));
  if (Status status = file->open_input(); !status.ok()) return status;
  return file;
}

Status VideoFile::open_input() {
  auto* buffer = static_cast<unsigned char*>(av_malloc(kBufferBytes));
  if (buffer == nullptr) return Status(StatusCode::kUnavailable, "not enough memory");
  io_.reset(avio_alloc_context(buffer, kBufferBytes, 0, this, read_bytes, nullptr, seek_bytes));
  AVFormatContext* format = avformat_alloc_context();
  if (!io_ || format == nullptr) return Status(StatusCode::kUnavailable, "not enough memory");
  format->pb = io_.get();
  format->flags |= AVFMT_FLAG_CUSTOM_IO;
  format->interrupt_callback = {interrupted, this};
  format->max_streams = 64;
  AVDictionary* options = nullptr;
  av_dict_set(&options, "format_whitelist", kContainers, 0);
  av_dict_set(&options, "protocol_whitelist", "none", 0);
  const int opened = avformat_open_input(&format, nullptr, nullptr, &options);  // frees on failure
  av_dict_free(&options);
  if (opened < 0)
    return invalid_argument("not a video: supported are MP4, WebM, AVI and GIF files");
  format_.reset(format);
  if (!find_stream_info()) {
    return invalid_argument("damaged video: its streams cannot be read");
  }
  for (unsigned i = 0; i < format->nb_streams; ++i) {
    AVStream* stream = format->streams[i];
    const bool cover = (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
    const bool video = stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !cover;
    if (video && stream_ == nullptr) {
      stream_ = stream;
    } else {
      stream->discard = AVDISCARD_ALL;
    }
  }
  if (stream_ == nullptr) return invalid_argument("the file has no video stream");
  if (std::find(kCodecs.begin(), kCodecs.end(), stream_->codecpar->codec_id) == kCodecs.end()) {
    return invalid_argument(
        "unsupported video codec; supported are H.264, H.265, MPEG-4, VP8, VP9, AV1, MJPEG, GIF "
        "and "
        "raw video");
  }
  return {};
}

// Decodes some frames where the container does not say enough.
bool VideoFile::find_stream_info() {
  std::vector<AVDictionary*> options(format_->nb_streams);
  for (AVDictionary*& one : options)
    av_dict_set_int(&one, "max_pixels", coded_pixels(max_pixels_), 0);
  const int found = avformat_find_stream_info(format_.get(), options.data());
  for (AVDictionary*& one : options) av_dict_free(&one);
  return found >= 0;
}

int VideoFile::read_bytes(void* self, uint8_t* out, int size) {
  auto* file = static_cast<VideoFile*>(self);
  const size_t count = std::min<size_t>(size, file->bytes_.size() - file->place_);
  if (count == 0) return AVERROR_EOF;
  std::memcpy(out, file->bytes_.data() + file->place_, count);
  file->place_ += count;
  return static_cast<int>(count);
}

int64_t VideoFile::seek_bytes(void* self, int64_t offset, int whence) {
  auto* file = static_cast<VideoFile*>(self);
  const auto size = static_cast<int64_t>(file->bytes_.size());
  if ((whence & AVSEEK_SIZE) != 0) return size;
  whence &= ~AVSEEK_FORCE;
  int64_t base = 0;
  if (whence == SEEK_CUR) base = static_cast<int64_t>(file->place_);
  if (whence == SEEK_END) base = size;
  if (offset < -base || offset > size - base) return AVERROR(EINVAL);
  file->place_ = static_cast<size_t>(base + offset);
  return base + offset;
}

int VideoFile::interrupted(void* self) {
  return static_cast<VideoFile*>(self)->out_of_time() ? 1 : 0;
}

bool VideoFile::read(AVPacket* packet) {
  av_packet_unref(packet);
  while (av_read_frame(format_.get(), packet) >= 0) {
    if (packet->stream_index == stream_->index && packet->size > 0) return true;
    av_packet_unref(packet);
    if (out_of_time()) return false;
  }
  return false;
}

bool VideoFile::seek(int64_t timestamp) {
  return av_seek_frame(format_.get(), stream_->index, timestamp, AVSEEK_FLAG_BACKWARD) >= 0;
}

AvPtr<AVCodecContext> VideoFile::open_decoder() const {
  const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
  AvPtr<AVCodecContext> decoder(codec != nullptr ? avcodec_alloc_context3(codec) : nullptr);
  if (!decoder || avcodec_parameters_to_context(decoder.get(), stream_->codecpar) < 0) return {};
  decoder->thread_count = 1;
  decoder->max_pixels = coded_pixels(max_pixels_);
  decoder->pkt_timebase = stream_->time_base;
  if (avcodec_open2(decoder.get(), codec, nullptr) < 0) return {};
  return decoder;
}

}  // namespace saccade::media
