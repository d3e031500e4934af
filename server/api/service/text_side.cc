#include <algorithm>
#include <cstdlib>

#include "engine/weights/file_exists.h"
#include "engine/weights/gguf.h"
#include "server/api/service/folder_files.h"
#include "server/api/service/service.h"
#include "server/api/service/template_files.h"

// Reads what the server itself needs of a checkpoint folder: tokenizers, template, image processor
// and generation defaults.
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

template <typename T>
void read_default(const Json& config, const char* name, T min, T max, const fs::path& path,
                  T& value) {
  const auto member = config.find(name);
  if (member == config.end() || member->is_null()) return;
  if (!member->is_number() || !(member->get<double>() >= static_cast<double>(min)) ||
      !(member->get<double>() <= static_cast<double>(max))) {
    throw LoadError(path.string() + ": " + name + " is out of range");
  }
  value = member->get<T>();
}

// stop_strings: one string or a list.
std::vector<std::string> read_stop_strings(const Json& config, const fs::path& path) {
  constexpr size_t kMost = 16;
  constexpr size_t kMostBytes = 1024;
  const auto member = config.find("stop_strings");
  if (member == config.end() || member->is_null()) return {};
  std::vector<std::string> strings;
  for (const Json& item : member->is_array() ? *member : Json::array({*member})) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        item.get_ref<const std::string&>().size() > kMostBytes || strings.size() == kMost) {
      throw LoadError(path.string() +
                      ": stop_strings: expected up to 16 strings of 1 to 1024 bytes");
    }
    strings.push_back(item);
  }
  return strings;
}

// suppress_tokens, and those of bad_words_ids that are one token and no end token, as generate()
// has it. A longer list of bad_words_ids forbids its last token behind the others: not supported,
// and passed over.
std::vector<TokenId> read_suppressed(const Json& config, const fs::path& path,
                                     const std::vector<TokenId>& eos_ids) {
  const auto id_of = [&](const char* name, const Json& item) {
    constexpr int64_t kMost = 1 << 30;
    if (item.is_number_integer() && item >= 0 && item <= kMost) return item.get<TokenId>();
    throw LoadError(path.string() + ": " + name + ": expected token ids");
  };
  const auto list_of = [&](const char* name) {
    const auto member = config.find(name);
    if (member == config.end() || member->is_null()) return Json::array();
    if (!member->is_array()) throw LoadError(path.string() + ": " + name + ": expected a list");
    return *member;
  };
  std::vector<TokenId> ids;
  for (const Json& item : list_of("suppress_tokens")) {
    ids.push_back(id_of("suppress_tokens", item));
  }
  for (const Json& word : list_of("bad_words_ids")) {
    if (!word.is_array()) throw LoadError(path.string() + ": bad_words_ids: expected lists");
    if (word.size() != 1) continue;
    const TokenId id = id_of("bad_words_ids", word[0]);
    if (std::find(eos_ids.begin(), eos_ids.end(), id) == eos_ids.end()) ids.push_back(id);
  }
  return ids;
}

SamplingDefaults read_defaults(const fs::path& path, const std::vector<TokenId>& eos_ids) {
  const Json config = read_json(path);
  SamplingDefaults defaults;
  read_default(config, "temperature", 0.0f, 100.0f, path, defaults.temperature);
  read_default(config, "top_p", 0.0f, 1.0f, path, defaults.top_p);
  read_default(config, "top_k", 0, 1 << 30, path, defaults.top_k);
  read_default(config, "min_p", 0.0f, 1.0f, path, defaults.min_p);
  read_default(config, "repetition_penalty", 0.0f, 100.0f, path, defaults.repetition_penalty);
  read_default(config, "min_new_tokens", 0, 1 << 30, path, defaults.min_tokens);
  defaults.stop = read_stop_strings(config, path);
  defaults.suppressed = read_suppressed(config, path, eos_ids);
  if (defaults.repetition_penalty == 0 || defaults.top_p == 0) {
    throw LoadError(path.string() + ": repetition_penalty and top_p must be greater than 0");
  }
  return defaults;
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
  side.defaults = read_defaults(folder / "generation_config.json", info.eos_ids);
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
