#include "engine/runtime/load_model.h"

#include <catch2/catch_test_macros.hpp>
#include <filesystem>

#include "tests/engine/weights/test_folder.h"

namespace saccade::testing {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = "tests/golden";

ModelOptions small() {
  ModelOptions options;
  options.device = DeviceKind::kCpu;
  options.dtype = DtypeKind::kFloat32;
  options.kv_cache_bytes = 1 << 20;
  return options;
}

// A copy of a golden folder's config.json and weights, to be damaged.
struct Copy {
  explicit Copy(const std::string& name) {
    for (const char* file : {"config.json", "model.safetensors", "generation_config.json"}) {
      if (fs::exists(kGolden / name / file)) {
        fs::copy_file(kGolden / name / file, folder.path() / file);
      }
    }
  }
  std::string error(const ModelOptions& options = small()) const {
    return load_error_of([&] { load_model(folder.path(), options); });
  }
  void edit_config(const std::string& from, const std::string& to) const {
    std::ifstream in(folder.path() / "config.json");
    std::string text((std::istreambuf_iterator<char>(in)), {});
    const size_t place = text.find(from);
    REQUIRE(place != std::string::npos);
    folder.write("config.json", text.replace(place, from.size(), to));
  }
  TestFolder folder;
};

}  // namespace

TEST_CASE("what the server learns of each family") {
  const LoadedModel llama = load_model(kGolden / "llama_gqa", small());
  CHECK(llama.info.placement == MediaPlacement::kNone);
  CHECK(llama.info.eos_ids.size() == 2);
  CHECK(llama.dtype == "float32");
  CHECK(llama.num_blocks > 0);
  const LoadedModel llava = load_model(kGolden / "llava", small());
  CHECK(llava.info.placement == MediaPlacement::kAtPlaceholder);
  CHECK(llava.info.image_tokens(MediaLayout{}) == 9);
  const LoadedModel blip = load_model(kGolden / "instructblip", small());
  CHECK(blip.info.placement == MediaPlacement::kBeforePrompt);
  CHECK(blip.info.image_tokens(MediaLayout{}) == 7);
  CHECK(blip.info.instruction_to_connector);
  CHECK(blip.info.max_images == 1);
  CHECK(!load_model(kGolden / "llama_dynamic", small()).info.prefix_cacheable);
}

TEST_CASE("int8 keys and values: more blocks in the same memory") {
  ModelOptions options = small();
  const LoadedModel plain = load_model(kGolden / "llama_gqa", options);
  options.kv_cache_dtype = KvCacheDtype::kInt8;
  const LoadedModel bytes = load_model(kGolden / "llama_gqa", options);
  CHECK(plain.kv_cache_dtype == "float32");
  CHECK(bytes.kv_cache_dtype == "int8");
  // A head of 8 takes 8 bytes and its scale's 4 instead of 32.
  CHECK(std::abs(bytes.num_blocks - plain.num_blocks * 32 / 12) <= 3);
  CHECK(bytes.kv_cache_bytes <= options.kv_cache_bytes);
}

TEST_CASE("the end ids of a folder") {
  using Ids = std::vector<TokenId>;
  const Copy text("llama_gqa"), picture("llava");
  const auto ids = [](const Copy& copy) {
    return load_model(copy.folder.path(), small()).info.eos_ids;
  };
  text.folder.write("generation_config.json", R"({"eos_token_id": [5, 7]})");
  CHECK(ids(text) == Ids{5, 7});
  text.folder.write("generation_config.json", "{}");
  CHECK(ids(text) == Ids{2});  // config.json's
  text.edit_config(R"("eos_token_id": 2,)", "");
  CHECK(ids(text).empty());
  fs::remove(text.folder.path() / "generation_config.json");
  CHECK(ids(text) == Ids{2});  // LlamaConfig's
  text.edit_config("{", R"({"eos_token_id": null,)");
  CHECK(ids(text).empty());
  // text_config of llava names none either.
  fs::remove(picture.folder.path() / "generation_config.json");
  CHECK(ids(picture) == Ids{2});
  picture.edit_config(R"("text_config": {)", R"("text_config": {"eos_token_id": 9,)");
  CHECK(ids(picture) == Ids{9});
}

TEST_CASE("every golden checkpoint is read without a left-over tensor") {
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!fs::exists(entry.path() / "golden.json")) continue;
    INFO(entry.path().string());
    CHECK(load_model(entry.path(), small()).unused_tensors.empty());
  }
}

TEST_CASE("a bad folder is refused with file and field") {
  const Copy copy("llama_gqa");
  SECTION("no config") {
    fs::remove(copy.folder.path() / "config.json");
    CHECK(copy.error().find("config.json") != std::string::npos);
  }
  SECTION("unknown family") {
    copy.edit_config("\"model_type\": \"llama\"", "\"model_type\": \"mamba\"");
    CHECK(copy.error().find("config.json: model_type") != std::string::npos);
  }
  SECTION("a width the tensors do not have") {
    copy.edit_config("\"intermediate_size\": 80", "\"intermediate_size\": 96");
    const std::string error = copy.error();
    CHECK(error.find("gate_proj.weight") != std::string::npos);
    CHECK(error.find("[96, 48]") != std::string::npos);
  }
  SECTION("more layers than the file has") {
    copy.edit_config("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4");
    CHECK(copy.error().find("model.layers.3.") != std::string::npos);
  }
  SECTION("a length beyond the model") {
    ModelOptions options = small();
    options.max_model_len = 1 << 20;
    CHECK(copy.error(options).find("--max-model-len") != std::string::npos);
  }
  SECTION("int8 keys and values where they must be exact") {
    ModelOptions options = small();
    options.kv_cache_dtype = KvCacheDtype::kInt8;
    copy.folder.write("config.json", R"({"model_type": "scripted", "vocab_size": 10,
        "max_position_embeddings": 64, "eos_token_id": 2, "answer_token_id": 7, "after": [[]],
        "emit": [[8]]})");
    CHECK(copy.error().empty());
    CHECK(copy.error(options).find("--kv-cache-dtype") != std::string::npos);
  }
  SECTION("no memory for a block") {
    ModelOptions options = small();
    options.kv_cache_bytes = 10;
    CHECK(copy.error(options).find("--kv-cache-memory") != std::string::npos);
  }
}

TEST_CASE("inspect names towers, connector and left-overs") {
  const std::string text = inspect_model(kGolden / "instructblip");
  CHECK(text.find("family: instructblip") != std::string::npos);
  CHECK(text.find("7 tokens per image") != std::string::npos);
  CHECK(text.find("missing tensors: none") != std::string::npos);
  CHECK(text.find("unused tensors: none") != std::string::npos);
}

}  // namespace saccade::testing
