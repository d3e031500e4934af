#include "server/media/video_frames.h"

#include <cstdint>

namespace saccade {
namespace {

void append_little_endian(std::string& file, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) file += static_cast<char>(value >> (8 * i));
}

// A BMP file of 24 bits a pixel: bottom row first, blue first, rows of whole 4 bytes.
std::string bmp_of(const RgbImage& image) {
  constexpr uint32_t kHeaderBytes = 14 + 40;
  const size_t row_bytes = (image.stride() + 3) / 4 * 4;
  const auto pixel_bytes = static_cast<uint32_t>(row_bytes * static_cast<size_t>(image.height));
  std::string file = "BM";
  file.reserve(kHeaderBytes + pixel_bytes);
  append_little_endian(file, kHeaderBytes + pixel_bytes, 4);
  append_little_endian(file, 0, 4);
  append_little_endian(file, kHeaderBytes, 4);
  append_little_endian(file, 40, 4);  // BITMAPINFOHEADER
  append_little_endian(file, static_cast<uint32_t>(image.width), 4);
  append_little_endian(file, static_cast<uint32_t>(image.height), 4);
  append_little_endian(file, 1, 2);
  append_little_endian(file, 24, 2);
  append_little_endian(file, 0, 4);  // not compressed
  append_little_endian(file, pixel_bytes, 4);
  for (int i = 0; i < 4; ++i) append_little_endian(file, 0, 4);
  for (int y = image.height - 1; y >= 0; --y) {
    const uint8_t* row = image.row(y);
    for (int x = 0; x < image.width; ++x) {
      for (int channel = 2; channel >= 0; --channel) {
        file += static_cast<char>(row[3 * x + channel]);
      }
    }
    file.append(row_bytes - image.stride(), '\0');
  }
  return file;
}

Status check_budget(size_t frames, int64_t pixels, const FrameBudget& budget) {
  if (frames > static_cast<size_t>(budget.frames)) {
    return invalid_argument(std::to_string(frames) + " frames of the video are to be looked at; " +
                            "at most " + std::to_string(budget.frames) + " are taken (num_frames)");
  }
  if (pixels > budget.pixels) {
    return invalid_argument("the frames of the video hold more than " +
                            std::to_string(budget.pixels) + " pixels together (num_frames)");
  }
  return {};
}

Result<std::vector<VideoFrame>> frames_of_file(const std::string& file, FrameRequest request,
                                               const VideoLimits& limits,
                                               const FrameBudget& budget) {
  const Result<VideoHeader> header = probe_video(file, limits);
  if (!header) return header.status();
  if (!request.num_frames && !request.fps) request.num_frames = kFramesUnlessAsked;
  const auto indices = sample_frames({}, request, header->times, header->fps);
  if (!indices) return indices.status();
  const int64_t frame_pixels = int64_t{header->width} * header->height;
  const auto chosen = static_cast<int64_t>(indices->size());
  if (Status status = check_budget(indices->size(), chosen * frame_pixels, budget); !status.ok()) {
    return status;
  }
  std::vector<VideoFrame> frames;
  const auto take = [&](const RgbImage& frame) {
    const auto index = static_cast<size_t>((*indices)[frames.size()]);
    frames.push_back({bmp_of(frame), header->times[index]});
    return Status();
  };
  const Status status = decode_frames(file, *header, *indices, limits, take);
  if (!status.ok()) return status;
  return frames;
}

}  // namespace

Result<std::vector<VideoFrame>> frames_of(VideoData data, std::optional<double> list_fps,
                                          FrameRequest request, const VideoLimits& limits,
                                          const FrameBudget& budget) {
  if (data.frames.empty()) return frames_of_file(data.file, request, limits, budget);
  constexpr double kUnlessSaid = 1;  // frames per second
  const double fps = list_fps.value_or(kUnlessSaid);
  std::vector<double> times;
  for (size_t i = 0; i < data.frames.size(); ++i) times.push_back(static_cast<double>(i) / fps);
  if (!request.num_frames && !request.fps) request.num_frames = FrameRequest::kAll;
  const auto indices = sample_frames({}, request, times, fps);
  if (!indices) return indices.status();
  if (Status status = check_budget(indices->size(), 0, budget); !status.ok()) return status;
  std::vector<VideoFrame> frames;
  for (const int index : *indices) {
    const auto i = static_cast<size_t>(index);
    frames.push_back({std::move(data.frames[i]), times[i]});
  }
  return frames;
}

}  // namespace saccade
