// Pictures and videos.
#include "server/media/image_decoder.h"
#include "server/media/image_probe.h"
#include "server/media/media_loader.h"
#include "server/media/video_decoder.h"
#include "server/media/video_frames.h"
#include "tests/fuzz/target.h"

namespace saccade::fuzz {
namespace {

void decode_picture(const std::string& input) {
  MediaLimits limits;
  limits.max_image_pixels = 4'000'000;
  const auto header = probe_image(input, limits);
  if (!header) return require(!header.status().message().empty(), "no reason");
  require(header->width > 0 && header->height > 0, "a picture of nothing");
  const auto image = decode_image(input, *header);
  if (!image) return;
  require(image->width == header->width && image->height == header->height, "another size");
  require(image->pixels.size() == image->stride() * static_cast<size_t>(image->height),
          "another number of pixels");
}

void decode_film(const std::string& input) {
  VideoLimits limits;
  limits.max_frame_pixels = 1'000'000;
  limits.max_frames = 1000;
  limits.max_decode_seconds = 5;
  const auto header = probe_video(input, limits);
  if (!header) return;
  require(header->frames() > 0 && header->fps > 0, "a film of nothing");
  const std::vector<int> indices = {0, header->frames() / 2, header->frames() - 1};
  (void)decode_frames(input, *header, indices, limits, [&](const RgbImage& frame) {
    require(frame.width == header->width && frame.height == header->height, "another size");
    return Status();
  });
  (void)frames_of({input, {}}, {}, {}, limits, {8, 1'000'000});
}

void read_url(const std::string& input) {
  const MediaLimits limits;
  (void)decode_data_url(input, limits);
  (void)decode_video_url(input, {}, limits);
  const auto bytes = decode_base64(input, 1000);
  require(!bytes.ok() || bytes->size() <= 1000, "longer than allowed");
}

}  // namespace

std::vector<Target> media_targets() {
  const std::string golden = "tests/golden/";
  std::vector<std::string> pictures, films;
  for (const char* name :
       {"images/scene.png", "images/gray_exact.png", "images/wide_palette.png"}) {
    pictures.push_back(read_seed(golden + name));
  }
  pictures.push_back(read_seed("docs/images/sample.png"));
  for (const char* name : {"h264.mp4", "vp9.webm", "mjpeg.avi", "clip.gif"}) {
    films.push_back(read_seed(golden + "videos/" + name));
  }
  pictures.push_back(films.back());
  const std::vector<std::string> chunks = {"IHDR",     "IDAT", "PLTE", "tRNS",
                                           "eXIf",     "zTXt", "acTL", "\xff\xd8\xff\xe0",
                                           "\xff\xe1", "VP8X", "ANMF", "GIF89a"};
  return {
      {"picture", pictures, chunks, decode_picture},
      {"film", films, {"moov", "mdat", "stco", "stsz", "RIFF", "idx1", "elst"}, decode_film},
      {"url",
       {"data:image/png;base64,AAECAw==", "data:video/jpeg;base64,AAAA,BBBB"},
       {"data:", ";base64,", "=", ",", "image/", "charset=x;", "%20"},
       read_url},
  };
}

}  // namespace saccade::fuzz
