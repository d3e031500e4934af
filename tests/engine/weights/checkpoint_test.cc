#include "engine/weights/checkpoint.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>

#include "tests/engine/weights/test_folder.h"

using Catch::Matchers::ContainsSubstring;
using saccade::Checkpoint;
using saccade::TensorView;
using saccade::testing::load_error_of;
using saccade::testing::safetensors_bytes;
using saccade::testing::TestFolder;

namespace {

constexpr const char* kIndex = "model.safetensors.index.json";

// A file of one-byte tensors with these names.
std::string file_of_names(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i > 0 ? ", \"" : "\"") + names[i] +
              R"(": {"dtype": "U8", "shape": [1], "data_offsets": [)" + std::to_string(i) + ", " +
              std::to_string(i + 1) + "]}";
  }
  return safetensors_bytes(header + "}", names.size());
}

std::string error_of(const TestFolder& folder) {
  return load_error_of([&] { Checkpoint checkpoint(folder.path()); });
}

}  // namespace

TEST_CASE("checkpoint: a single file") {
  const TestFolder folder;
  folder.write("model.safetensors", file_of_names({"b", "a"}));
  folder.write(kIndex, "not looked at");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  REQUIRE(checkpoint.tensors().size() == 2);
  CHECK(checkpoint.tensors()[0]->name == "a");
  CHECK(checkpoint.total_bytes() == 2);
  REQUIRE(checkpoint.find("b") != nullptr);
  CHECK(std::to_integer<int>(checkpoint.find("b")->data[0]) == 0);
  CHECK(std::to_integer<int>(checkpoint.find("a")->data[0]) == 1);
  CHECK(checkpoint.find("c") == nullptr);
  CHECK(checkpoint.file_of(*checkpoint.find("a")) == "model.safetensors");
}

TEST_CASE("checkpoint: shards, with the index deciding") {
  const TestFolder folder;
  folder.write("m-1.safetensors", file_of_names({"a", "b", "unlisted"}));
  folder.write("m-2.safetensors", file_of_names({"x", "y", "b"}));
  folder.write(kIndex, R"({"metadata": {"total_size": 6}, "weight_map": {
      "a": "m-1.safetensors", "b": "m-2.safetensors", "x": "m-2.safetensors"}})");
  const Checkpoint checkpoint(folder.path());
  CHECK(checkpoint.tensors().size() == 5);                          // a b unlisted x y
  CHECK(std::to_integer<int>(checkpoint.find("b")->data[0]) == 2);  // of m-2, not m-1
  CHECK(checkpoint.file_of(*checkpoint.find("b")) == "m-2.safetensors");
  CHECK(checkpoint.find("unlisted") != nullptr);
  checkpoint.advise_dontneed(*checkpoint.find("b"));
  CHECK(std::to_integer<int>(checkpoint.find("b")->data[0]) == 2);
}

TEST_CASE("checkpoint: follows links as the hub's cache has them") {
  const TestFolder blobs;
  const TestFolder folder;
  blobs.write("0f3a", file_of_names({"a"}));
  std::filesystem::create_symlink(blobs.path() / "0f3a", folder.path() / "model.safetensors");
  CHECK(Checkpoint(folder.path()).find("a") != nullptr);
}

TEST_CASE("checkpoint: broken folders are refused with names") {
  const TestFolder folder;
  CHECK_THAT(error_of(folder), ContainsSubstring("has neither model.safetensors nor"));
  folder.write("pytorch_model.bin", "x");
  CHECK_THAT(error_of(folder), ContainsSubstring("pickled weights are not read"));
  CHECK_THAT(load_error_of([&] { Checkpoint checkpoint(folder.path() / "gone"); }),
             ContainsSubstring("gone: not a folder"));

  folder.write("m-1.safetensors", file_of_names({"a"}));
  const struct {
    const char* index;
    const char* message;
  } cases[] = {
      {"{}", "model.safetensors.index.json: weight_map: missing"},
      {R"({"weight_map": []})", "weight_map: expected an object"},
      {R"({"weight_map": {}})", "names no tensors"},
      {R"({"weight_map": {"a": 1}})", R"("a": expected the name of a .safetensors file)"},
      {R"({"weight_map": {"a": "../m-1.safetensors"}})", "in the same folder, got \"../m-1."},
      {R"({"weight_map": {"a": "/etc/x.safetensors"}})", "in the same folder"},
      {R"({"weight_map": {"a": "d\\m-1.safetensors"}})", "in the same folder"},
      {R"({"weight_map": {"a": "m-1.safetensors\u0000"}})", "in the same folder"},
      {R"({"weight_map": {"a": "pytorch_model.bin"}})", "in the same folder"},
      {R"({"weight_map": {"a": ".safetensors"}})", "in the same folder"},
      {R"({"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors"}})",
       "index.json: the folder lacks \"m-2.safetensors\""},
      {R"({"weight_map": {"a": "m-1.safetensors", "b": "m-1.safetensors"}})",
       "m-1.safetensors: lacks tensors that model.safetensors.index.json promises: \"b\""},
  };
  for (const auto& [index, message] : cases) {
    CAPTURE(index);
    folder.write(kIndex, index);
    CHECK_THAT(error_of(folder), ContainsSubstring(message));
  }
  folder.write("m-1.safetensors", "short");
  folder.write(kIndex, R"({"weight_map": {"a": "m-1.safetensors"}})");
  CHECK_THAT(error_of(folder), ContainsSubstring("m-1.safetensors: too short"));
}
