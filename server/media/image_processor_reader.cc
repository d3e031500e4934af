#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "server/media/image_processor.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{1} << 20;
constexpr int kMaxSide = 8192;  // of a resized or cropped picture, pixels

constexpr std::array<double, 3> kClipMean = {0.48145466, 0.4578275, 0.40821073};
constexpr std::array<double, 3> kClipStd = {0.26862954, 0.26130258, 0.27577711};
constexpr std::array<double, 3> kHalves = {0.5, 0.5, 0.5};

std::string without_suffix(std::string text, std::string_view suffix) {
  if (text.ends_with(suffix)) text.resize(text.size() - suffix.size());
  return text;
}

}  // namespace

// One processor file (or the nested object of one) on its way to an ImageProcessor.
class ImageProcessorReader {
 public:
  ImageProcessorReader(std::string where, const Json& json)
      : where_(std::move(where)), json_(json) {}

  ImageProcessor read(const std::string& type) {
    ImageProcessor processor;
    processor.type_ = type;
    set_class_defaults(&processor);
    read_bool("do_pad", &processor.do_pad_, type == "LlavaImageProcessor");
    read_bool("do_resize", &processor.do_resize_);
    if (processor.do_resize_) read_size(&processor);
    read_filter(&processor);
    const bool crops = type == "CLIPImageProcessor" || type == "LlavaImageProcessor";
    read_bool("do_center_crop", &processor.do_center_crop_, crops);
    if (processor.do_center_crop_) read_crop_size(&processor);
    read_bool("do_rescale", &processor.do_rescale_);
    read_number("rescale_factor", &processor.rescale_factor_);
    read_bool("do_normalize", &processor.do_normalize_);
    read_channels("image_mean", &processor.mean_);
    read_channels("image_std", &processor.std_);
    for (const double value : processor.std_) {
      if (processor.do_normalize_ && static_cast<float>(value) == 0.0F)
        fail("image_std", "must not hold 0");
    }
    for (size_t c = 0; c < 3; ++c) {
      const double level = processor.mean_[c] * 255;
      if (processor.do_pad_ && !(level >= 0 && level <= 255)) {
        fail("image_mean", "must lie between 0 and 1 when do_pad is set");
      }
      processor.pad_color_[c] = processor.do_pad_ ? static_cast<uint8_t>(level) : uint8_t{0};
    }
    processor.fill_tables();
    describe(&processor);
    return processor;
  }

  [[noreturn]] void fail(const std::string& field, const std::string& problem) const {
    throw LoadError(where_ + ": " + field + ": " + problem);
  }

 private:
  static void set_class_defaults(ImageProcessor* processor) {
    processor->mean_ = kClipMean;
    processor->std_ = kClipStd;
    if (processor->type_ == "BlipImageProcessor") {
      processor->size_ = {384, 384};
    } else if (processor->type_ == "SiglipImageProcessor") {
      processor->size_ = {224, 224};
      processor->mean_ = processor->std_ = kHalves;
    } else {
      processor->resize_rule_ = ImageProcessor::ResizeRule::kShortestEdge;
      processor->shortest_edge_ = 224;
      processor->do_center_crop_ = true;
      processor->crop_size_ = {224, 224};
    }
  }

  // The field, or nothing when it is absent or null (both mean the class's default).
  const Json* find(const char* field) const {
    const auto it = json_.find(field);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }

  // `known`: whether this class has the field at all; it is not read otherwise.
  void read_bool(const char* field, bool* value, bool known = true) const {
    const Json* json = known ? find(field) : nullptr;
    if (json == nullptr) return;
    if (!json->is_boolean()) fail(field, "must be true or false");
    *value = json->get<bool>();
  }

  double number(const std::string& field, const Json& json) const {
    if (!json.is_number()) fail(field, "must be a number");
    const double value = json.get<double>();
    if (!std::isfinite(value)) fail(field, "must be finite");
    return value;
  }

  void read_number(const char* field, double* value) const {
    if (const Json* json = find(field)) *value = number(field, *json);
  }

  // A number for all channels, or a list of three.
  void read_channels(const char* field, std::array<double, 3>* values) const {
    const Json* json = find(field);
    if (json == nullptr) return;
    if (!json->is_array()) {
      values->fill(number(field, *json));
      return;
    }
    if (json->size() != values->size()) fail(field, "must hold 3 numbers");
    for (size_t c = 0; c < values->size(); ++c) (*values)[c] = number(field, (*json)[c]);
  }

  int side(const std::string& field, const Json& json) const {
    if (!json.is_number_integer()) fail(field, "must be an integer");
    const auto value = json.get<int64_t>();
    if (value < 1 || value > kMaxSide) {
      fail(field, "must lie between 1 and " + std::to_string(kMaxSide));
    }
    return static_cast<int>(value);
  }

  static bool has_keys(const Json& json, std::initializer_list<const char*> keys) {
    if (json.size() != keys.size()) return false;
    return std::all_of(keys.begin(), keys.end(),
                       [&](const char* key) { return json.contains(key); });
  }

  // {"height", "width"} or a list [height, width].
  bool read_exact(const std::string& field, const Json& json, ImageSize* size) const {
    if (json.is_object() && has_keys(json, {"height", "width"})) {
      *size = {side(field + ".height", json["height"]), side(field + ".width", json["width"])};
      return true;
    }
    if (json.is_array() && json.size() == 2) {
      *size = {side(field + "[0]", json[0]), side(field + "[1]", json[1])};
      return true;
    }
    return false;
  }

  void read_size(ImageProcessor* processor) const {
    const Json* json = find("size");
    if (json == nullptr) return;
    const bool squashes = processor->resize_rule_ == ImageProcessor::ResizeRule::kExact;
    if (read_exact("size", *json, &processor->size_)) {
      processor->resize_rule_ = ImageProcessor::ResizeRule::kExact;
      return;
    }
    if (squashes) {
      // Blip reads one number as a square; Siglip has no meaning for it.
      if (!json->is_number() || processor->type_ == "SiglipImageProcessor") {
        fail("size", processor->type_ + " needs {\"height\", \"width\"}");
      }
      const int square = side("size", *json);
      processor->size_ = {square, square};
      return;
    }
    // These classes know but do not use "longest_edge".
    if (json->is_object() && (has_keys(*json, {"shortest_edge"}) ||
                              has_keys(*json, {"shortest_edge", "longest_edge"}))) {
      processor->shortest_edge_ = side("size.shortest_edge", (*json)["shortest_edge"]);
    } else if (json->is_number()) {
      processor->shortest_edge_ = side("size", *json);
    } else {
      fail("size", "must be a number, {\"shortest_edge\"} or {\"height\", \"width\"}");
    }
  }

  void read_crop_size(ImageProcessor* processor) const {
    const Json* json = find("crop_size");
    if (json == nullptr || read_exact("crop_size", *json, &processor->crop_size_)) return;
    if (!json->is_number()) fail("crop_size", "must be a number or {\"height\", \"width\"}");
    const int square = side("crop_size", *json);
    processor->crop_size_ = {square, square};
  }

  void read_filter(ImageProcessor* processor) const {
    const Json* json = find("resample");
    if (json == nullptr) return;
    if (!json->is_number_integer()) fail("resample", "must be an integer (PIL.Image.Resampling)");
    const auto value = json->get<int64_t>();
    if (value < 0 || value > 5) fail("resample", "must lie between 0 and 5 (PIL.Image.Resampling)");
    processor->filter_ = static_cast<Filter>(value);
  }

  // Everything that decides the pixel values: part of every media hash.
  static void describe(ImageProcessor* p) {
    std::ostringstream text;
    text.precision(17);
    text << p->type_ << " pad=" << p->do_pad_;
    if (!p->do_resize_) {
      text << " resize=none";
    } else if (p->resize_rule_ == ImageProcessor::ResizeRule::kExact) {
      text << " resize=" << p->size_.height << 'x' << p->size_.width;
    } else {
      text << " resize=shortest:" << p->shortest_edge_;
    }
    text << " filter=" << static_cast<int>(p->filter_);
    if (p->do_center_crop_) text << " crop=" << p->crop_size_.height << 'x' << p->crop_size_.width;
    if (p->do_rescale_) text << " scale=" << p->rescale_factor_;
    if (p->do_normalize_) {
      text << " mean=" << p->mean_[0] << ',' << p->mean_[1] << ',' << p->mean_[2]
           << " std=" << p->std_[0] << ',' << p->std_[1] << ',' << p->std_[2];
    } else if (p->do_pad_) {
      text << " mean=" << p->mean_[0] << ',' << p->mean_[1] << ',' << p->mean_[2];
    }
    p->description_ = text.str();
  }

  std::string where_;
  const Json& json_;
};

namespace {

// The file as an object; null when there is no such file.
Json read_object(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return nullptr;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (!file.eof()) throw LoadError(path.string() + ": cannot be read, or is larger than 1 MiB");
  int depth = 0,
      deepest = 0;  // brackets inside strings count too, which only errs on the safe side
  for (const char c : text) {
    if (c == '[' || c == '{') deepest = std::max(deepest, ++depth);
    if (c == ']' || c == '}') --depth;
  }
  constexpr int kMaxDepth = 100;
  Json json = deepest > kMaxDepth ? Json() : Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw LoadError(path.string() + ": not a JSON object");
  return json;
}

// "CLIPImageProcessorFast", "CLIPFeatureExtractor" ... -> "CLIPImageProcessor".
std::string class_name(const ImageProcessorReader& reader, const Json& json,
                       const std::filesystem::path& model_dir) {
  for (const char* field : {"image_processor_type", "feature_extractor_type"}) {
    const auto it = json.find(field);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_string()) reader.fail(field, "must be a string");
    std::string type = without_suffix(without_suffix(it->get<std::string>(), "Fast"), "Pil");
    if (type.ends_with("FeatureExtractor")) {
      type = without_suffix(type, "FeatureExtractor") + "ImageProcessor";
    }
    for (const char* known : {"BlipImageProcessor", "CLIPImageProcessor", "SiglipImageProcessor",
                              "LlavaImageProcessor"}) {
      if (type == known) return type;
    }
    reader.fail(field, "unsupported image processor (known: Blip, CLIP, Siglip, Llava)");
  }
  // Old folders name no class; the model's type decides, as AutoImageProcessor has it.
  const Json config = read_object(model_dir / "config.json");
  const std::string model =
      config.is_object() && config.contains("model_type") && config["model_type"].is_string()
          ? config["model_type"].get<std::string>()
          : std::string();
  if (model == "blip" || model == "blip-2" || model == "instructblip") return "BlipImageProcessor";
  if (model == "llava") return "LlavaImageProcessor";
  if (model == "clip") return "CLIPImageProcessor";
  if (model == "siglip") return "SiglipImageProcessor";
  reader.fail("image_processor_type", "missing");
}

}  // namespace

ImageProcessor ImageProcessor::load(const std::filesystem::path& model_dir) {
  std::filesystem::path path = model_dir / "preprocessor_config.json";
  Json json = read_object(path);
  std::string where = path.string();
  if (json.is_null()) {
    path = model_dir / "processor_config.json";
    json = read_object(path);
    if (json.is_null()) {
      throw LoadError(model_dir.string() +
                      ": neither preprocessor_config.json nor processor_config.json");
    }
    if (!json.contains("image_processor"))
      throw LoadError(path.string() + ": image_processor: missing");
    where = path.string();
  }
  if (json.contains("image_processor")) {
    Json nested = json["image_processor"];
    json = std::move(nested);
    where += ": image_processor";
    if (!json.is_object()) throw LoadError(where + ": must be an object");
  }
  ImageProcessorReader reader(where, json);
  return reader.read(class_name(reader, json, model_dir));
}

}  // namespace saccade
