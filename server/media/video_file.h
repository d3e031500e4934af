#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/core/status.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

namespace saccade::media {

// Frees what FFmpeg made.
struct AvDeleter {
  void operator()(AVIOContext* io) const;
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
template <typename T>
using AvPtr = std::unique_ptr<T, AvDeleter>;

// The picture stream of a video file in memory, through FFmpeg's demuxers. Only the containers and
// codecs of the lists in video_file.cc are tried, no protocol is allowed, and the bytes are read
// through a callback: a file that names another file or an address finds nothing.
class VideoFile {
 public:
  using Clock = std::chrono::steady_clock;

  // Past `deadline` reading ends with an error. Frames of more than twice `max_pixels` are not
  // decoded, whatever the container says of their size.
  static Result<std::unique_ptr<VideoFile>> open(std::string_view bytes, Clock::time_point deadline,
                                                 int64_t max_pixels);

  VideoFile(const VideoFile&) = delete;
  VideoFile& operator=(const VideoFile&) = delete;

  // The next packet that will be shown or that others need; false at the end of the file.
  bool read(AVPacket* packet);
  // False: the container cannot, reading goes on where it was.
  bool seek(int64_t timestamp);
  bool out_of_time() const { return Clock::now() > deadline_; }

  const AVStream& stream() const { return *stream_; }
  // A decoder for the stream, one thread. Null when it does not open.
  AvPtr<AVCodecContext> open_decoder() const;

 private:
  VideoFile(std::string_view bytes, Clock::time_point deadline, int64_t max_pixels)
      : bytes_(bytes), deadline_(deadline), max_pixels_(max_pixels) {}

  static int read_bytes(void* self, uint8_t* out, int size);
  static int64_t seek_bytes(void* self, int64_t offset, int whence);
  static int interrupted(void* self);
  Status open_input();
  bool find_stream_info();

  std::string_view bytes_;
  size_t place_ = 0;  // of the next byte
  Clock::time_point deadline_;
  int64_t max_pixels_;
  AvPtr<AVIOContext> io_;
  AvPtr<AVFormatContext> format_;
  AVStream* stream_ = nullptr;
};

}  // namespace saccade::media
