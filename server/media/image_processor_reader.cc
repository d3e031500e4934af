#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string_view>

#include "engine/weights/file_exists.h"
#include "engine/weights/mapped_file.h"
#include "server/json_limits.h"
#include "server/media/anyres_rule.h"
#include "server/media/bounded_resize_rule.h"
#include "server/media/image_processor.h"
#include "server/media/processor_fields.h"
#include "server/media/smart_resize_rule.h"
#include "server/media/split_rule.h"
#include "server/media/squash_rule.h"
#include "server/media/whole_patches_rule.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{1} << 20;

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
  explicit ImageProcessorReader(const ProcessorFields& fields) : fields_(fields) {}

  ImageProcessor read(const std::string& type) {
    ImageProcessor processor;
    processor.type_ = type;
    set_class_defaults(&processor);
    // IDEFICS before transformers 5, whose files know a number alone, takes every step in any case.
    const bool takes_all = type == "IdeficsImageProcessor" && fields_.find("size") == nullptr &&
                           fields_.find("image_size") != nullptr;
    if (!takes_all) {
      fields_.read_bool("do_resize", &processor.do_resize_);
      fields_.read_filter("resample", &processor.filter_);
      fields_.read_bool("do_rescale", &processor.do_rescale_);
      fields_.read_bool("do_normalize", &processor.do_normalize_);
    }
    fields_.read_number("rescale_factor", &processor.rescale_factor_);
    fields_.read_channels("image_mean", &processor.mean_);
    fields_.read_channels("image_std", &processor.std_);
    if (const auto make = part_rule_of(type)) {
      processor.rule_ = make(fields_, processor);
    } else {
      read_single(&processor);
    }
    check_channels(&processor);
    processor.fill_tables();
    check_tables(processor);
    describe(&processor);
    return processor;
  }

  // Whether there is such a class.
  static bool knows(const std::string& type) {
    for (const char* known :
         {"BlipImageProcessor", "CLIPImageProcessor", "SiglipImageProcessor", "LlavaImageProcessor",
          "IdeficsImageProcessor", "OpenClipImageProcessor"}) {
      if (type == known) return true;
    }
    return part_rule_of(type) != nullptr;
  }

 private:
  using MakeRule = std::shared_ptr<const PartRule> (*)(const ProcessorFields&,
                                                       const ImageProcessor&);

  template <typename Rule>
  static std::shared_ptr<const PartRule> make_rule(const ProcessorFields& fields,
                                                   const ImageProcessor& processor) {
    return std::make_shared<Rule>(fields, processor.do_resize_, processor.filter_);
  }

  template <const SmartResizeRule::Defaults& kDefaults>
  static std::shared_ptr<const PartRule> make_smart_resize(const ProcessorFields& fields,
                                                           const ImageProcessor& processor) {
    return std::make_shared<SmartResizeRule>(fields, processor.do_resize_, processor.filter_,
                                             kDefaults);
  }

  // Tensors know no Lanczos filter: the class takes the cubic one in its place.
  static std::shared_ptr<const PartRule> make_squash(const ProcessorFields& fields,
                                                     const ImageProcessor& processor) {
    const bool lanczos = processor.filter_ == Filter::kLanczos;
    return std::make_shared<SquashRule>(fields, processor.do_resize_,
                                        lanczos ? Filter::kBicubic : processor.filter_);
  }

  template <AnyresRule::Defaults (*kDefaults)()>
  static std::shared_ptr<const PartRule> make_anyres(const ProcessorFields& fields,
                                                     const ImageProcessor& processor) {
    return std::make_shared<AnyresRule>(fields, processor.filter_, processor.mean_, kDefaults());
  }

  // Null for the classes that make one picture of one.
  static MakeRule part_rule_of(const std::string& type) {
    if (type == "Idefics3ImageProcessor" || type == "SmolVLMImageProcessor") {
      return make_rule<SplitRule>;
    }
    if (type == "SmolVLMVideoProcessor") return make_squash;
    if (type == "Qwen2VLImageProcessor") return make_smart_resize<SmartResizeRule::kPictures>;
    if (type == "Qwen2VLVideoProcessor") return make_smart_resize<SmartResizeRule::kFrames>;
    if (type == "Idefics2ImageProcessor") return make_rule<BoundedResizeRule>;
    if (type == "PixtralImageProcessor") return make_rule<WholePatchesRule>;
    if (type == "LlavaNextImageProcessor" || type == "LlavaNextVideoImageProcessor") {
      return make_anyres<AnyresRule::next>;
    }
    if (type == "LlavaOnevisionImageProcessor") return make_anyres<AnyresRule::onevision>;
    return nullptr;
  }

  static void set_class_defaults(ImageProcessor* processor) {
    processor->mean_ = kClipMean;
    processor->std_ = kClipStd;
    if (processor->type_ == "BlipImageProcessor") {
      processor->size_ = {384, 384};
    } else if (processor->type_ == "IdeficsImageProcessor") {
      processor->size_ = {224, 224};
    } else if (processor->type_ == "SiglipImageProcessor") {
      processor->size_ = {224, 224};
      processor->mean_ = processor->std_ = kHalves;
    } else if (part_rule_of(processor->type_) == make_rule<SplitRule>) {
      processor->filter_ = Filter::kLanczos;
      processor->mean_ = processor->std_ = kHalves;
    } else if (part_rule_of(processor->type_) == make_rule<BoundedResizeRule>) {
      processor->filter_ = Filter::kBilinear;
      processor->mean_ = processor->std_ = kHalves;
    } else if (part_rule_of(processor->type_) == make_squash) {
      processor->mean_ = processor->std_ = kHalves;
    } else if (processor->type_.starts_with("Qwen2VL") ||
               processor->type_ == "PixtralImageProcessor") {
      processor->filter_ = Filter::kBicubic;
    } else if (part_rule_of(processor->type_) == nullptr) {
      processor->resize_rule_ = ImageProcessor::ResizeRule::kShortestEdge;
      processor->shortest_edge_ = 224;
      processor->do_center_crop_ = true;
      processor->crop_size_ = {224, 224};
      processor->crops_to_even_ = processor->type_ == "OpenClipImageProcessor";
    }
  }

  void read_single(ImageProcessor* processor) const {
    if (processor->type_ == "LlavaImageProcessor") fields_.read_bool("do_pad", &processor->do_pad_);
    if (processor->do_resize_) read_size(processor);
    // IDEFICS before transformers 5 knows this number alone.
    if (const Json* side = fields_.find("image_size");
        side != nullptr && processor->type_ == "IdeficsImageProcessor") {
      const int square = fields_.side("image_size", *side);
      processor->size_ = {square, square};
    }
    if (processor->type_ == "CLIPImageProcessor" || processor->type_ == "LlavaImageProcessor") {
      fields_.read_bool("do_center_crop", &processor->do_center_crop_);
    }
    if (processor->do_center_crop_) read_crop_size(processor);
  }

  void check_channels(ImageProcessor* processor) const {
    for (const double value : processor->std_) {
      if (processor->do_normalize_ && static_cast<float>(value) == 0.0F) {
        fields_.fail("image_std", "must not hold 0");
      }
    }
    for (size_t c = 0; c < 3; ++c) {
      const double level = processor->mean_[c] * 255;
      if (processor->do_pad_ && !(level >= 0 && level <= 255)) {
        fields_.fail("image_mean", "must lie between 0 and 1 when do_pad is set");
      }
      processor->pad_color_[c] = processor->do_pad_ ? static_cast<uint8_t>(level) : uint8_t{0};
    }
  }

  // Larger values would overflow in the layers, request for request.
  void check_tables(const ImageProcessor& processor) const {
    constexpr float kLargest = 65504;  // of float16
    for (const auto& table : processor.tables_) {
      // false for what is no number
      const auto fits = [](float value) { return std::abs(value) <= kLargest; };
      if (std::all_of(table.begin(), table.end(), fits)) continue;
      fields_.fail("rescale_factor, image_mean, image_std", "make values beyond 65504");
    }
  }

  void read_size(ImageProcessor* processor) const {
    const Json* json = fields_.find("size");
    if (json == nullptr) return;
    const bool squashes = processor->resize_rule_ == ImageProcessor::ResizeRule::kExact;
    if (fields_.read_exact("size", *json, &processor->size_)) {
      processor->resize_rule_ = ImageProcessor::ResizeRule::kExact;
      return;
    }
    if (squashes) {
      // Blip reads one number as a square; Siglip has no meaning for it.
      if (!json->is_number() || processor->type_ == "SiglipImageProcessor") {
        fields_.fail("size", processor->type_ + " needs {\"height\", \"width\"}");
      }
      const int square = fields_.side("size", *json);
      processor->size_ = {square, square};
      return;
    }
    // These classes know but do not use "longest_edge".
    if (fields_.has_keys(*json, {"shortest_edge"}) ||
        fields_.has_keys(*json, {"shortest_edge", "longest_edge"})) {
      processor->shortest_edge_ = fields_.side("size.shortest_edge", (*json)["shortest_edge"]);
    } else if (json->is_number()) {
      processor->shortest_edge_ = fields_.side("size", *json);
    } else {
      fields_.fail("size", "must be a number, {\"shortest_edge\"} or {\"height\", \"width\"}");
    }
  }

  void read_crop_size(ImageProcessor* processor) const {
    const Json* json = fields_.find("crop_size");
    if (json == nullptr || fields_.read_exact("crop_size", *json, &processor->crop_size_)) return;
    if (!json->is_number())
      fields_.fail("crop_size", "must be a number or {\"height\", \"width\"}");
    const int square = fields_.side("crop_size", *json);
    processor->crop_size_ = {square, square};
  }

  // Everything that decides the pixel values: part of every media hash.
  static void describe(ImageProcessor* p) {
    std::ostringstream text;
    text.precision(17);
    text << p->type_ << " pad=" << p->do_pad_;
    if (p->rule_) {
      text << ' ' << p->rule_->description();
    } else if (!p->do_resize_) {
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

  const ProcessorFields& fields_;
};

namespace {

// The file as an object; null when there is no such file.
Json read_object(const std::filesystem::path& path) {
  if (!file_exists(path)) return nullptr;
  const std::string text = read_file(path, path.string(), kMaxFileBytes);
  const bool sane = check_json_size(text, "").ok();
  Json json = sane ? Json::parse(text, nullptr, /*allow_exceptions=*/false) : Json();
  if (!json.is_object()) throw LoadError(path.string() + ": not a JSON object");
  return json;
}

// "CLIPImageProcessorFast", "CLIPFeatureExtractor" ... -> "CLIPImageProcessor".
std::string class_name(const ProcessorFields& fields, const Json& json,
                       const std::filesystem::path& model_dir) {
  for (const char* field : {"image_processor_type", "feature_extractor_type"}) {
    const auto it = json.find(field);
    if (it == json.end() || it->is_null()) continue;
    if (!it->is_string()) fields.fail(field, "must be a string");
    std::string type = without_suffix(without_suffix(it->get<std::string>(), "Fast"), "Pil");
    if (type == "VideoLlavaImageProcessor") return "CLIPImageProcessor";  // the same steps
    if (type.ends_with("FeatureExtractor")) {
      type = without_suffix(type, "FeatureExtractor") + "ImageProcessor";
    }
    if (ImageProcessorReader::knows(type)) return type;
    fields.fail(field,
                "unsupported image processor (known: Blip, CLIP, Siglip, Llava, LlavaNext, "
                "LlavaNextVideo, LlavaOnevision, VideoLlava, Idefics, Idefics2, Idefics3, "
                "SmolVLM, Qwen2VL, Pixtral, OpenClip)");
  }
  // Old folders name no class; the model's type decides, as AutoImageProcessor has it.
  const Json config = read_object(model_dir / "config.json");
  const std::string model =
      config.is_object() && config.contains("model_type") && config["model_type"].is_string()
          ? config["model_type"].get<std::string>()
          : std::string();
  if (model == "blip" || model == "blip-2" || model == "instructblip" ||
      model == "instructblipvideo") {
    return "BlipImageProcessor";
  }
  if (model == "llava") return "LlavaImageProcessor";
  if (model == "llava_next") return "LlavaNextImageProcessor";
  if (model == "llava_next_video") return "LlavaNextVideoImageProcessor";
  if (model == "llava_onevision") return "LlavaOnevisionImageProcessor";
  if (model == "video_llava" || model == "clip") return "CLIPImageProcessor";
  if (model == "siglip") return "SiglipImageProcessor";
  if (model == "idefics") return "IdeficsImageProcessor";
  if (model == "idefics2") return "Idefics2ImageProcessor";
  if (model == "idefics3") return "Idefics3ImageProcessor";
  if (model == "smolvlm") return "SmolVLMImageProcessor";
  if (model == "mistral3" || model == "pixtral") return "PixtralImageProcessor";
  if (model == "qwen2_vl" || model == "qwen2_5_vl") return "Qwen2VLImageProcessor";
  fields.fail("image_processor_type", "missing");
}

// A processor's fields with the place they were read from.
struct ProcessorFile {
  Json json;
  std::string where;
};

// `standalone` (its object nested under `key`, or the whole file), else `key` of
// processor_config.json. Nothing when neither is there.
std::optional<ProcessorFile> find_processor(const std::filesystem::path& model_dir,
                                            const char* standalone, const char* key) {
  std::filesystem::path path = model_dir / standalone;
  Json json = read_object(path);
  if (json.is_null()) {
    path = model_dir / "processor_config.json";
    json = read_object(path);
    if (json.is_null() || !json.contains(key)) return std::nullopt;
  }
  ProcessorFile file{std::move(json), path.string()};
  if (file.json.contains(key)) {
    Json nested = file.json[key];
    file.json = std::move(nested);
    file.where += std::string(": ") + key;
    if (!file.json.is_object()) throw LoadError(file.where + ": must be an object");
  }
  return file;
}

ProcessorFile picture_processor(const std::filesystem::path& model_dir) {
  std::optional<ProcessorFile> file =
      find_processor(model_dir, "preprocessor_config.json", "image_processor");
  if (file) return *std::move(file);
  const std::filesystem::path path = model_dir / "processor_config.json";
  if (file_exists(path)) {
    throw LoadError(path.string() + ": image_processor: missing");
  }
  throw LoadError(model_dir.string() +
                  ": neither preprocessor_config.json nor processor_config.json");
}

// The class for single pictures that does to a frame what a video class does.
std::string frame_class(const ProcessorFields& fields, const Json& json,
                        const std::filesystem::path& model_dir) {
  std::string type;
  for (const char* field : {"image_processor_type", "video_processor_type"}) {
    if (const auto it = json.find(field); it != json.end() && it->is_string()) type = *it;
  }
  if (type.empty()) type = class_name(fields, json, model_dir);
  for (const char* suffix : {"Fast", "Pil", "VideoProcessor", "ImageProcessor"}) {
    type = without_suffix(type, suffix);
  }
  for (const char* crops : {"LlavaNextVideo", "LlavaNext", "VideoLlava", "CLIP"}) {
    if (type == crops) return "CLIPImageProcessor";
  }
  for (const char* squashes : {"LlavaOnevision", "InstructBlipVideo", "Blip"}) {
    if (type == squashes) return "BlipImageProcessor";
  }
  for (const char* own : {"Qwen2VL", "SmolVLM"}) {
    if (type == own) return type + "VideoProcessor";
  }
  fields.fail("video_processor_type",
              "unsupported video processor (known: LlavaNextVideo, VideoLlava, LlavaOnevision, "
              "InstructBlipVideo, Qwen2VL, SmolVLM)");
}

}  // namespace

namespace {

// PixtralProcessor hands its own patches to the picture processor, whatever that one's file says.
void take_outer_patches(const std::filesystem::path& model_dir, Json* inner) {
  const std::filesystem::path path = model_dir / "processor_config.json";
  Json outer = read_object(path);
  if (outer.is_null()) outer = Json::object();
  const ProcessorFields fields(path.string(), outer);
  int patch = 16, merge = 1;
  fields.read_int("patch_size", 1, 256, &patch);
  fields.read_int("spatial_merge_size", 1, 16, &merge);
  (*inner)["patch_size"] = patch * merge;
}

}  // namespace

ImageProcessor ImageProcessor::load(const std::filesystem::path& model_dir) {
  ProcessorFile file = picture_processor(model_dir);
  const ProcessorFields fields(file.where, file.json);
  const std::string type = class_name(fields, file.json, model_dir);
  if (type == "PixtralImageProcessor") take_outer_patches(model_dir, &file.json);
  return ImageProcessorReader(fields).read(type);
}

namespace {

void read_rate(const ProcessorFields& fields, double* fps) {
  constexpr double kFastest = 1000;
  if (fields.find("fps") == nullptr) return;
  fields.read_number("fps", fps);
  if (!(*fps > 0 && *fps <= kFastest)) fields.fail("fps", "must be a positive number");
}

// What the file says of frames; SmolVLM's says it in an object of its own.
void read_frame_rule(const ProcessorFields& fields, FrameRule* rule) {
  constexpr int kMostFrames = 4096;
  fields.read_int("num_frames", 1, kMostFrames, &rule->num_frames);
  fields.read_int("min_frames", 1, kMostFrames, &rule->min_frames);
  fields.read_int("max_frames", 1, kMostFrames, &rule->max_frames);
  read_rate(fields, &rule->fps);
  if (const Json* sampling = fields.find("video_sampling")) {
    const ProcessorFields inner = fields.nested("video_sampling", *sampling);
    inner.read_int("max_frames", 1, kMostFrames, &rule->num_frames);
    read_rate(inner, &rule->fps);
  }
}

}  // namespace

ImageProcessor ImageProcessor::load_for_video(const std::filesystem::path& model_dir,
                                              FrameRule* rule) {
  std::optional<ProcessorFile> file =
      find_processor(model_dir, "video_preprocessor_config.json", "video_processor");
  const ProcessorFile found = file ? *std::move(file) : picture_processor(model_dir);
  const ProcessorFields fields(found.where, found.json);
  read_frame_rule(fields, rule);
  return ImageProcessorReader(fields).read(frame_class(fields, found.json, model_dir));
}

}  // namespace saccade
