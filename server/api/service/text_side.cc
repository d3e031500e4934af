#include <algorithm>
#include <cstdlib>

#include "engine/weights/file_exists.h"
#include "engine/weights/gguf.h"
#include "server/api/service/folder_files.h"
#include "server/api/service/generation_defaults.h"
#include "server/api/service/service.h"
#include "server/api/service/template_files.h"

// Reads what the server itself needs of a checkpoint folder: tokenizers, template and image
// processor.
namespace saccade::api {
namespace {

namespace fs = std::filesystem;

// tokenizer_config.json, or what of it a GGUF file holds.
Json read_tokenizer_config(const fs::path& path) {
  if (!GgufFile::is_at(path)) return read_json(path / "tokenizer_config.json");
  const GgufFile file(path);
  const JsonView metadata = file.metadata();
  Json named = Json::array();
  for (const auto& [name, key] : {std::pair("default", "tokenizer.chat_template"),
                                  std::pair("tool_use", "tokenizer.chat_template.tool_use")}) {
    if (std::string text = metadata.string(key, ""); !text.empty()) {
      named.push_back({{"name", name}, {"template", std::move(text)}});
    }
  }
  return {{"chat_template", std::move(named)}};
}

// The model's own where it has one, else the family's; `replacement` (may be empty) in any case.
TemplateFiles find_templates(const fs::path& folder, const Json& tokenizer_config,
                             const ModelInfo& info, const fs::path& replacement) {
  if (!replacement.empty()) return {{read_file(replacement), replacement.string()}, {}};
  const bool of_processor = info.max_images > 0 || info.max_videos > 0;
  TemplateFiles found = find_template_files(folder, of_processor, tokenizer_config);
  if (!found.chat.text.empty()) return found;
  found.chat = {info.builtin_chat_template, "the built-in template of " + info.family};
  return found;
}

std::optional<ChatTemplate> parse_template(const TemplateFile& file) {
  if (file.text.empty()) return std::nullopt;
  Result<ChatTemplate> parsed = ChatTemplate::parse(file.text);
  if (!parsed) throw LoadError(file.origin + ": chat_template: " + parsed.status().message());
  return *std::move(parsed);
}

// The configuration names the placeholder by its id, templates by its text.
void check_placeholder(const fs::path& folder, const ModelInfo& info, const Tokenizer& tokenizer) {
  if (!info.has_placeholders() || !tokenizer.token_text(info.image_token).empty()) return;
  throw LoadError(folder.string() + ": the tokenizer has no token " +
                  std::to_string(info.image_token) + ", which config.json names for pictures");
}

std::string text_of(ImageSize size) {
  return std::to_string(size.height) + "x" + std::to_string(size.width);
}

// The file that a processor's fields stand in, for messages: the first that there is.
std::string processor_file(const fs::path& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (file_exists(folder / name)) return (folder / name).string();
  }
  return folder.string();
}
std::string picture_file(const fs::path& folder) {
  return processor_file(folder, {"preprocessor_config.json", "processor_config.json"});
}

// Whatever its shape, a picture has to come out as the vision tower takes it (0x0: in any size).
ImageProcessor load_image_processor(const fs::path& folder, ImageSize wanted) {
  ImageProcessor processor = ImageProcessor::load(folder);
  if (wanted == ImageSize{}) return processor;
  for (const ImageSize size : {ImageSize{480, 640}, ImageSize{640, 480}, ImageSize{64, 64}}) {
    const Result<MediaLayout> made = processor.layout(size);
    if (made.ok() && made->part == wanted) continue;
    throw LoadError(picture_file(folder) + ": " + processor.size_fields() + " make " +
                    (made.ok() ? text_of(made->part) : std::string("nothing")) +
                    " of a picture of " + text_of(size) + ", the vision tower's image_size is " +
                    text_of(wanted));
  }
  return processor;
}

// Frames have to come out as the vision tower takes them, too.
void check_frames(const fs::path& folder, const ModelInfo& info, const ImageProcessor& processor) {
  Result<MediaLayout> made = processor.layout({480, 640});
  const bool any_size = info.encoder_input == ImageSize{};
  if (made.ok()) {
    made->kind = MediaKind::kVideo;
    if (any_size ? info.image_tokens(*made) > 0 : made->part == info.encoder_input) return;
  }
  const std::string size = made.ok() ? text_of(made->part) : std::string("nothing");
  throw LoadError(processor_file(folder, {"video_preprocessor_config.json", "processor_config.json",
                                          "preprocessor_config.json"}) +
                  ": " + processor.size_fields() + " make " + size + " of a frame, " +
                  (any_size ? "which the vision tower cannot take"
                            : "the vision tower's image_size is " + text_of(info.encoder_input)));
}

// The processor's own count of visual tokens comes from its patch_size; it has to agree with the
// vision tower's, the class token aside.
void check_patch_size(const fs::path& folder, const ModelInfo& info) {
  const fs::path path = folder / "processor_config.json";
  const Json config = read_json(path);
  const auto patch = config.find("patch_size");
  if (patch == config.end() || patch->is_null()) return;
  const int64_t side = patch->is_number_integer() ? patch->get<int64_t>() : 0;
  const int tokens =
      info.image_tokens({.original = info.encoder_input, .part = info.encoder_input});
  if (side > 0 && side <= info.encoder_input.height) {
    const int64_t patches = (info.encoder_input.height / side) * (info.encoder_input.width / side);
    if (std::abs(patches - tokens) <= 1) return;
  }
  throw LoadError(path.string() + ": patch_size does not make " + std::to_string(tokens) +
                  " visual tokens of a picture of " + text_of(info.encoder_input));
}

// Where pictures keep a size of their own, the tower must be able to take what the processor makes,
// and agree with the processor's count for a picture of one part.
void check_parts(const fs::path& folder, const ModelInfo& info, const ImageProcessor& processor) {
  for (const ImageSize size : {ImageSize{480, 640}, ImageSize{640, 480}, ImageSize{64, 64}}) {
    const Result<MediaLayout> made = processor.layout(size);
    if (made.ok() && info.image_tokens(*made) != 0) continue;
    throw LoadError(picture_file(folder) + ": " + processor.size_fields() + " make " +
                    (made.ok() ? text_of(made->part) : std::string("nothing")) +
                    " of a picture of " + text_of(size) + ", which the vision tower cannot take");
  }
  const Json config = read_json(folder / "processor_config.json");
  const auto count = config.find("image_seq_len");
  if (count == config.end() || count->is_null()) return;
  MediaLayout one = *processor.layout({64, 64});
  one.parts = 1;
  one.rows = one.columns = 0;
  if (!count->is_number_integer() || count->get<int64_t>() != info.image_tokens(one)) {
    throw LoadError((folder / "processor_config.json").string() + ": image_seq_len is not the " +
                    std::to_string(info.image_tokens(one)) +
                    " visual tokens that the tower makes of " + text_of(one.part));
  }
}

}  // namespace

TextSide load_text_side(const fs::path& folder, const ModelInfo& info,
                        const fs::path& template_file) {
  TextSide side;
  const Json tokenizer_config = read_tokenizer_config(folder);
  side.tokenizer = Tokenizer::load(folder);
  check_placeholder(folder, info, *side.tokenizer);
  if (info.instruction_to_connector) {
    side.connector_tokenizer = Tokenizer::load(folder / "qformer_tokenizer");
  }
  side.globals = {side.tokenizer->bos_token(), side.tokenizer->eos_token()};
  side.defaults = read_generation_defaults(folder, info.eos_ids);
  const TemplateFiles files = find_templates(folder, tokenizer_config, info, template_file);
  side.templates = {parse_template(files.chat), parse_template(files.tool_use)};
  // Calls are written, and thoughts marked, as the template for chats with tools has them.
  side.template_source = files.tool_use.text.empty() ? files.chat.text : files.tool_use.text;
  if (info.max_videos > 0) {
    side.frame_rule = info.frames;
    side.frame_processor = ImageProcessor::load_for_video(folder, &side.frame_rule);
    check_frames(folder, info, *side.frame_processor);
  }
  if (info.max_images > 0) {
    side.image_processor = load_image_processor(folder, info.encoder_input);
    if (info.encoder_input == ImageSize{}) {
      check_parts(folder, info, *side.image_processor);
    } else if (info.placement == MediaPlacement::kAtPlaceholder) {
      check_patch_size(folder, info);
    }
  }
  return side;
}

}  // namespace saccade::api
