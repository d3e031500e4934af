// Runs the media library for the Python tests: binary requests on stdin, binary answers on stdout.
//
// request:  u8 operation, u32 count of arguments, then each argument as u32 length + bytes
// answer:   u8 ok, u32 length + bytes (the result, or the error's text)
// Numbers are little endian. Operations and arguments:
//   'u' URL                               -> decoded bytes
//   'p' file                              -> JSON header
//   'd' file                              -> u32 height, u32 width, RGB
//   'r' u32 w,h,new_w,new_h,filter,kernel ; RGB -> RGB (kernel 0 best, 1 portable)
//   'i' model folder ; u32 w,h ; RGB      -> u32 H, u32 W, float32 [3,H,W]
//   's' model folder ; u32 w,h            -> u32 H, u32 W
//   'b' u32 repeats, what ('d' or 'r') ; arguments of that operation -> f64 milliseconds each
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "server/media/image_decoder.h"
#include "server/media/image_processor.h"
#include "server/media/media_loader.h"
#include "server/media/resample_kernels.h"
#include "server/media/sha256.h"

namespace saccade {
namespace {

using Arguments = std::vector<std::string>;

uint32_t number(const std::string& text, size_t index) {
  uint32_t value = 0;
  if (text.size() < 4 * (index + 1)) throw std::runtime_error("bad request");
  std::memcpy(&value, text.data() + 4 * index, sizeof value);
  return value;
}

std::string bytes_of(uint32_t value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

RgbImage rgb(uint32_t width, uint32_t height, const std::string& pixels) {
  RgbImage image(static_cast<int>(width), static_cast<int>(height));
  if (pixels.size() != image.pixels.size()) throw std::runtime_error("bad request");
  std::memcpy(image.pixels.data(), pixels.data(), pixels.size());
  return image;
}

template <typename T>
T value_of(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().message());
  return std::move(*result);
}

RgbImage decode(const std::string& file) {
  return value_of(decode_image(file, value_of(probe_image(file, MediaLimits{}))));
}

RgbImage resample(const std::string& numbers, const RgbImage& image) {
  const auto& kernels = number(numbers, 5) == 0 ? media::best_kernels() : media::portable_kernels();
  return media::resize_with(kernels, image, static_cast<int>(number(numbers, 2)),
                            static_cast<int>(number(numbers, 3)),
                            static_cast<Filter>(number(numbers, 4)));
}

std::string text_of(const RgbImage& image) {
  return std::string(image.pixels.begin(), image.pixels.end());
}

std::string header_json(const ImageHeader& header) {
  const auto field = [](const char* name, int value) {
    return std::string(", \"") + name + "\": " + std::to_string(value);
  };
  return "{\"format\": \"" + std::string(format_name(header.format)) + "\"" +
         field("width", header.width) + field("height", header.height) +
         field("stored_width", header.stored_width) + field("stored_height", header.stored_height) +
         field("channels", header.channels) + field("bit_depth", header.bit_depth) +
         field("orientation", header.orientation) + "}";
}

std::string benchmark(const Arguments& arguments) {
  const uint32_t repeats = number(arguments.at(0), 0);
  const bool decoding = arguments.at(1) == "d";
  RgbImage input;
  if (!decoding) {
    input = rgb(number(arguments.at(2), 0), number(arguments.at(2), 1), arguments.at(3));
  }
  const auto start = std::chrono::steady_clock::now();
  for (uint32_t i = 0; i < repeats; ++i) {
    if (decoding) {
      decode(arguments.at(2));
    } else {
      resample(arguments.at(2), input);
    }
  }
  const double milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count() /
      repeats;
  return std::string(reinterpret_cast<const char*>(&milliseconds), sizeof milliseconds);
}

std::string answer(char operation, const Arguments& arguments) {
  switch (operation) {
    case 'u':
      return value_of(decode_data_url(arguments.at(0), MediaLimits{}));
    case 'p':
      return header_json(value_of(probe_image(arguments.at(0), MediaLimits{})));
    case 'd': {
      const RgbImage image = decode(arguments.at(0));
      return bytes_of(static_cast<uint32_t>(image.height)) +
             bytes_of(static_cast<uint32_t>(image.width)) + text_of(image);
    }
    case 'r': {
      const std::string& numbers = arguments.at(0);
      return text_of(
          resample(numbers, rgb(number(numbers, 0), number(numbers, 1), arguments.at(1))));
    }
    case 'i': {
      const ImageProcessor processor = ImageProcessor::load(arguments.at(0));
      const RgbImage image =
          rgb(number(arguments.at(1), 0), number(arguments.at(1), 1), arguments.at(2));
      PictureUse use;
      if (arguments.at(3) == "low") use.detail = ImageDetail::kLow;
      if (arguments.at(3) == "many") use.alone = false;
      const MediaItem item = value_of(processor.process(image, sha256(arguments.at(2)), use));
      std::string answer = bytes_of(static_cast<uint32_t>(item.frames));
      for (int i = 0; i < item.frames; ++i) {
        const ImageSize same{item.height, item.width};
        const ImageSize size = item.part_sizes.empty() ? same : item.part_sizes.at(i);
        answer += bytes_of(static_cast<uint32_t>(size.height));
        answer += bytes_of(static_cast<uint32_t>(size.width));
      }
      return answer + std::string(reinterpret_cast<const char*>(item.pixels.data()),
                                  item.pixels.size() * sizeof(float));
    }
    case 's': {
      const ImageProcessor processor = ImageProcessor::load(arguments.at(0));
      const MediaLayout layout =
          value_of(processor.layout({static_cast<int>(number(arguments.at(1), 1)),
                                     static_cast<int>(number(arguments.at(1), 0))}));
      std::string answer;
      for (const int n :
           {layout.part.height, layout.part.width, layout.parts, layout.rows, layout.columns}) {
        answer += bytes_of(static_cast<uint32_t>(n));
      }
      return answer;
    }
    case 'b':
      return benchmark(arguments);
    default:
      throw std::runtime_error("bad request");
  }
}

bool read_exactly(void* out, size_t size) { return std::fread(out, 1, size, stdin) == size; }

bool read_request(char* operation, Arguments* arguments) {
  uint32_t count = 0;
  if (!read_exactly(operation, 1) || !read_exactly(&count, sizeof count)) return false;
  arguments->resize(count);
  for (std::string& argument : *arguments) {
    uint32_t length = 0;
    if (!read_exactly(&length, sizeof length)) return false;
    argument.resize(length);
    if (!read_exactly(argument.data(), length)) return false;
  }
  return true;
}

void write_answer(bool ok, const std::string& text) {
  const auto length = static_cast<uint32_t>(text.size());
  std::fputc(ok ? 1 : 0, stdout);
  std::fwrite(&length, sizeof length, 1, stdout);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace
}  // namespace saccade

int main() {
  char operation = 0;
  saccade::Arguments arguments;
  while (saccade::read_request(&operation, &arguments)) {
    try {
      saccade::write_answer(true, saccade::answer(operation, arguments));
    } catch (const std::runtime_error& error) {  // a refusal; anything else is a mistake of ours
      saccade::write_answer(false, error.what());
    }
  }
  return 0;
}
