#include "server/media/video_decoder.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "server/media/video_file.h"

extern "C" {
#include <libavutil/imgutils.h>
}

namespace saccade {
namespace {

using media::AvPtr;
using media::VideoFile;

constexpr double kSlowestFps = 1e-3, kFastestFps = 1e4;

VideoFile::Clock::time_point deadline_of(const VideoLimits& limits) {
  return VideoFile::Clock::now() + std::chrono::duration_cast<VideoFile::Clock::duration>(
                                       std::chrono::duration<double>(limits.max_decode_seconds));
}

Status too_slow(const VideoLimits& limits) {
  return invalid_argument("the video takes longer than " +
                          std::to_string(static_cast<int>(limits.max_decode_seconds)) +
                          " s to decode");
}

// Frames that are decoded for others to refer to but never shown.
bool hidden(const AVStream& stream, const AVPacket& packet) {
  if ((packet.flags & AV_PKT_FLAG_DISCARD) != 0) return true;
  constexpr uint8_t kShowFrame = 0x10;  // RFC 6386 section 9.1
  return stream.codecpar->codec_id == AV_CODEC_ID_VP8 && (packet.data[0] & kShowFrame) == 0;
}

// Whether frames can be told apart by their times; else they are counted.
bool has_timestamps(const std::vector<int64_t>& sorted) {
  return std::find(sorted.begin(), sorted.end(), AV_NOPTS_VALUE) == sorted.end() &&
         std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
}

double average_fps(const AVStream& stream, size_t frames, double span) {
  for (const AVRational rate : {stream.avg_frame_rate, stream.r_frame_rate}) {
    if (rate.num > 0 && rate.den > 0) return av_q2d(rate);
  }
  return span > 0 && frames > 1 ? static_cast<double>(frames - 1) / span : 1;
}

// When each frame is shown, in units of the stream's clock, ascending.
struct Timeline {
  std::vector<int64_t> stamps;
  std::vector<int64_t> keys;  // stamps of key frames
  bool stamped = false;       // stamps are there and differ
};

Result<Timeline> read_timeline(VideoFile& file, const VideoLimits& limits) {
  Timeline timeline;
  const AvPtr<AVPacket> packet(av_packet_alloc());
  while (file.read(packet.get())) {
    if (hidden(file.stream(), *packet)) continue;
    if (timeline.stamps.size() >= static_cast<size_t>(limits.max_frames)) {
      return invalid_argument("the video has more than " + std::to_string(limits.max_frames) +
                              " frames");
    }
    timeline.stamps.push_back(packet->pts);
    if ((packet->flags & AV_PKT_FLAG_KEY) != 0) timeline.keys.push_back(packet->pts);
  }
  if (file.out_of_time()) return too_slow(limits);
  if (timeline.stamps.empty()) return invalid_argument("damaged video: it has no frames");
  std::sort(timeline.stamps.begin(), timeline.stamps.end());
  std::sort(timeline.keys.begin(), timeline.keys.end());
  timeline.stamped = has_timestamps(timeline.stamps);
  return timeline;
}

// 8-bit RGB as OpenCV's reader makes it: FFmpeg's conversion with its defaults.
Result<RgbImage> to_rgb(const AVFrame& frame, AvPtr<SwsContext>& scaler) {
  const auto format = static_cast<AVPixelFormat>(frame.format);
  scaler.reset(sws_getCachedContext(scaler.release(), frame.width, frame.height, format,
                                    frame.width, frame.height, AV_PIX_FMT_RGB24, SWS_BICUBIC,
                                    nullptr, nullptr, nullptr));
  if (!scaler) return invalid_argument("unsupported video: its pixel format cannot be converted");
  // The converter writes whole vectors past the end of a row: rows of its own, then ours.
  constexpr int kAlign = 64;
  const int stride = (frame.width * 3 + kAlign - 1) / kAlign * kAlign + kAlign;
  std::vector<uint8_t> rows(static_cast<size_t>(stride) * frame.height + kAlign);
  uint8_t* planes[4] = {rows.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {stride, 0, 0, 0};
  if (sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides) !=
      frame.height) {
    return invalid_argument("damaged video: a frame cannot be converted");
  }
  RgbImage image(frame.width, frame.height);
  for (int y = 0; y < frame.height; ++y) {
    std::copy_n(rows.data() + static_cast<size_t>(y) * stride, image.stride(), image.row(y));
  }
  return image;
}

// The decoder, walking forward through the frames in the order they are shown.
class FrameWalk {
 public:
  FrameWalk(VideoFile& file, const Timeline& timeline, AvPtr<AVCodecContext> decoder)
      : file_(file),
        timeline_(timeline),
        decoder_(std::move(decoder)),
        packet_(av_packet_alloc()),
        frame_(av_frame_alloc()) {}

  // The frame with that index, not before the last one asked for. Null: there is none.
  const AVFrame* advance_to(int index) {
    if (index == shown_) return frame_.get();
    skip_towards(index);
    while (next()) {
      if (shown_ == index) return frame_.get();
      if (shown_ > index) return nullptr;
    }
    return nullptr;
  }

 private:
  // To the last key frame before `index`, when it lies ahead.
  void skip_towards(int index) {
    if (!timeline_.stamped) return;
    const int64_t wanted = timeline_.stamps[index];
    const auto above = std::upper_bound(timeline_.keys.begin(), timeline_.keys.end(), wanted);
    if (above == timeline_.keys.begin()) return;
    const int64_t key = *(above - 1);
    constexpr int kWorthIt = 16;  // frames; seeking costs a decoder flush
    if (index_of(key) <= shown_ + kWorthIt || !file_.seek(key)) return;
    avcodec_flush_buffers(decoder_.get());
    draining_ = false;
  }

  int index_of(int64_t stamp) const {
    const auto& stamps = timeline_.stamps;
    return static_cast<int>(std::lower_bound(stamps.begin(), stamps.end(), stamp) - stamps.begin());
  }

  // Decodes one more frame. False at the end, past the deadline, or when nothing comes.
  bool next() {
    while (!file_.out_of_time()) {
      const int received = avcodec_receive_frame(decoder_.get(), frame_.get());
      if (received >= 0) {
        const int64_t stamp = frame_->best_effort_timestamp;
        shown_ = timeline_.stamped && stamp != AV_NOPTS_VALUE ? index_of(stamp) : shown_ + 1;
        return true;
      }
      if (received != AVERROR(EAGAIN) || draining_) return false;
      draining_ = !file_.read(packet_.get());
      // A damaged packet costs its own frame alone.
      avcodec_send_packet(decoder_.get(), draining_ ? nullptr : packet_.get());
    }
    return false;
  }

  VideoFile& file_;
  const Timeline& timeline_;
  AvPtr<AVCodecContext> decoder_;
  AvPtr<AVPacket> packet_;
  AvPtr<AVFrame> frame_;
  int shown_ = -1;  // index of the frame in frame_
  bool draining_ = false;
};

}  // namespace

Result<VideoHeader> probe_video(std::string_view bytes, const VideoLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    return invalid_argument("the video has " + std::to_string(bytes.size()) + " bytes; at most " +
                            std::to_string(limits.max_bytes) + " are allowed");
  }
  Result<std::unique_ptr<VideoFile>> file =
      VideoFile::open(bytes, deadline_of(limits), limits.max_frame_pixels);
  if (!file) return file.status();
  const AVStream& stream = (*file)->stream();
  VideoHeader header;
  header.width = stream.codecpar->width;
  header.height = stream.codecpar->height;
  if (header.width < 1 || header.height < 1) {
    return invalid_argument("damaged video: its frames have no size");
  }
  if (int64_t{header.width} * header.height > limits.max_frame_pixels) {
    return invalid_argument("the video's frames have more than " +
                            std::to_string(limits.max_frame_pixels) + " pixels");
  }
  Result<Timeline> timeline = read_timeline(**file, limits);
  if (!timeline) return timeline.status();
  const std::vector<int64_t>& stamps = timeline->stamps;
  const double tick = av_q2d(stream.time_base);
  const double span =
      timeline->stamped ? static_cast<double>(stamps.back() - stamps.front()) * tick : 0;
  header.fps = average_fps(stream, stamps.size(), span);
  if (!(header.fps >= kSlowestFps && header.fps <= kFastestFps)) {
    return invalid_argument("damaged video: an impossible frame rate");
  }
  for (size_t i = 0; i < stamps.size(); ++i) {
    header.times.push_back(timeline->stamped
                               ? static_cast<double>(stamps[i] - stamps.front()) * tick
                               : static_cast<double>(i) / header.fps);
  }
  if (!(header.seconds() <= limits.max_seconds)) {
    return invalid_argument("the video lasts longer than " +
                            std::to_string(static_cast<int64_t>(limits.max_seconds)) + " s");
  }
  return header;
}

Status decode_frames(std::string_view bytes, const VideoHeader& header,
                     std::span<const int> indices, const VideoLimits& limits,
                     const std::function<Status(RgbImage frame)>& take) {
  const auto deadline = deadline_of(limits);
  Result<std::unique_ptr<VideoFile>> first =
      VideoFile::open(bytes, deadline, limits.max_frame_pixels);
  if (!first) return first.status();
  const Result<Timeline> timeline = read_timeline(**first, limits);
  if (!timeline) return timeline.status();
  Result<std::unique_ptr<VideoFile>> file =
      VideoFile::open(bytes, deadline, limits.max_frame_pixels);
  if (!file) return file.status();
  AvPtr<AVCodecContext> decoder = (*file)->open_decoder();
  if (!decoder) return invalid_argument("unsupported video: its codec does not open");
  FrameWalk walk(**file, *timeline, std::move(decoder));
  AvPtr<SwsContext> scaler;
  for (const int index : indices) {
    const AVFrame* frame = walk.advance_to(index);
    if ((*file)->out_of_time()) return too_slow(limits);
    if (frame == nullptr || frame->width != header.width || frame->height != header.height) {
      return invalid_argument("damaged video: frame " + std::to_string(index) +
                              " cannot be decoded");
    }
    Result<RgbImage> image = to_rgb(*frame, scaler);
    if (!image) return image.status();
    if (Status status = take(*std::move(image)); !status.ok()) return status;
  }
  return {};
}

}  // namespace saccade
