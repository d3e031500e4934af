#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>

#include "server/media/format_decoders.h"

namespace saccade::media {

// The first frame on a black canvas. Alpha is dropped, not blended: what lies under transparent
// pixels shows.
Status decode_webp(std::string_view bytes, RgbImage* image) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemux(&data),
                                                                         WebPDemuxDelete);
  if (!demuxer) return damaged("WebP", "invalid or truncated container");
  if (WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH) != static_cast<uint32_t>(image->width) ||
      WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT) != static_cast<uint32_t>(image->height)) {
    return damaged("WebP", "its size is not what its header says");
  }
  WebPIterator frame;
  if (WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) return damaged("WebP", "no picture in it");
  const std::unique_ptr<WebPIterator, decltype(&WebPDemuxReleaseIterator)> release(
      &frame, WebPDemuxReleaseIterator);
  if (frame.complete == 0 || frame.x_offset < 0 || frame.y_offset < 0 || frame.width <= 0 ||
      frame.height <= 0 || frame.width > image->width - frame.x_offset ||
      frame.height > image->height - frame.y_offset) {
    return damaged("WebP", "the first frame is incomplete or outside of the canvas");
  }
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return damaged("WebP", "incompatible libwebp");
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba =
      image->row(frame.y_offset) + size_t{3} * static_cast<size_t>(frame.x_offset);
  config.output.u.RGBA.stride = static_cast<int>(image->stride());
  config.output.u.RGBA.size = image->stride() * static_cast<size_t>(frame.height - 1) +
                              size_t{3} * static_cast<size_t>(frame.width);
  if (WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &config.input) != VP8_STATUS_OK ||
      config.input.width != frame.width || config.input.height != frame.height) {
    return damaged("WebP", "its size is not what its header says");
  }
  if (WebPDecode(frame.fragment.bytes, frame.fragment.size, &config) != VP8_STATUS_OK) {
    return damaged("WebP", "the picture data is damaged or truncated");
  }
  return Status();
}

}  // namespace saccade::media
