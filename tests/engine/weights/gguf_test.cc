#include "engine/weights/gguf.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <random>

#include "engine/weights/checkpoint.h"
#include "engine/weights/gguf_blocks.h"
#include "engine/weights/gguf_llama.h"
#include "tests/engine/weights/test_folder.h"

using Catch::Matchers::ContainsSubstring;
using saccade::GgufFile;
using saccade::TensorDtype;
using saccade::TensorView;
using saccade::testing::load_error_of;
using saccade::testing::TestFolder;

namespace {

constexpr uint32_t kU32 = 4, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10;

// Writes the format by hand, so that each part can be made wrong.
class Bytes {
 public:
  template <typename T>
  Bytes& put(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view value) {
    put<uint64_t>(value.size());
    bytes += value;
    return *this;
  }
  Bytes& key(std::string_view name, uint32_t type) { return text(name).put(type); }
  Bytes& tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    text(name).put<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (const uint64_t side : dims) put(side);
    return put(type).put(offset);
  }
  Bytes& data(size_t count) {
    bytes.resize((bytes.size() + 31) / 32 * 32);
    for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(i);
    return *this;
  }
  std::string bytes;
};

Bytes head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
  Bytes out;
  out.bytes = "GGUF";
  return out.put(version).put(tensors).put(keys);
}

std::string error_of(const TestFolder& folder, const Bytes& file) {
  const auto path = folder.write("m.gguf", file.bytes);
  return load_error_of([&] { GgufFile parsed(path); });
}

Bytes small_file() {
  Bytes file = head(2, 5);
  file.key("general.architecture", kString).text("llama");
  file.key("a.count", kU32).put<uint32_t>(7);
  file.key("a.eps", kF32).put(0.5f);
  file.key("a.flag", kBool).put<uint8_t>(1);
  file.key("a.list", kArray).put(kString).put<uint64_t>(2).text("x").text("");
  file.tensor("plain", {3, 2}, 0, 0).tensor("blocks", {32, 2}, 8, 32);
  return file.data(32 + 68);
}

}  // namespace

TEST_CASE("gguf: keys and tensors are read in place") {
  const TestFolder folder;
  const auto path = folder.write("m.gguf", small_file().bytes);
  CHECK(GgufFile::is_at(path));
  const GgufFile file(path);
  CHECK(file.metadata().string("general.architecture") == "llama");
  CHECK(file.metadata().integer("a.count") == 7);
  CHECK(file.metadata().number("a.eps") == 0.5);
  CHECK(file.metadata().boolean("a.flag"));
  CHECK(file.metadata().string_list("a.list") == std::vector<std::string>{"x", ""});
  REQUIRE(file.tensors().size() == 2);
  const TensorView& plain = file.tensors()[0];
  CHECK(plain.shape == std::vector<int64_t>{2, 3});
  CHECK(plain.bytes == 24);
  CHECK(std::memcmp(plain.data, "\x00\x01\x02", 3) == 0);
  const TensorView& blocks = file.tensors()[1];
  CHECK(blocks.dtype == TensorDtype::kQ8_0);
  CHECK(blocks.elements() == 64);
  CHECK(std::memcmp(blocks.data, "\x20\x21", 2) == 0);
}

TEST_CASE("gguf: what is wrong is named") {
  const TestFolder folder;
  const auto tensor = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset, size_t bytes) {
    return head(1, 0).tensor("w", std::move(dims), type, offset).data(bytes);
  };
  const struct {
    Bytes file;
    const char* message;
  } cases[] = {
      {head(0, 0, 1), "GGUF version 1; 2 and 3 are read"},
      {head(uint64_t{1} << 40, 0), "1099511627776 tensors"},
      {head(0, uint64_t{1} << 40), "1099511627776 keys"},
      {head(0, 1), "truncated file?"},
      {head(0, 1).put(~uint64_t{0}), "needs 18446744073709551615 bytes"},
      {head(0, 1).key("k", 13).put<uint32_t>(0), "\"k\": unknown value type 13"},
      {head(0, 1).key("k", kArray).put(kU32).put(~uint64_t{0}), "too many values in arrays"},
      {head(0, 1).key("k", kArray).put(kU32).put<uint64_t>(1 << 20), "\"k\": needs 4 bytes"},
      {head(0, 1).key("k", kArray).put(kArray).put<uint64_t>(1), "arrays of arrays"},
      {head(0, 2).key("k", kU32).put<uint32_t>(1).key("k", kU32).put<uint32_t>(1),
       "\"k\": occurs twice"},
      {head(0, 1).key("general.alignment", kU32).put<uint32_t>(24), "expected a power of two"},
      {head(0, 1).key("general.alignment", kU32).put<uint32_t>(0), "general.alignment"},
      {head(0, 1).key("general.alignment", kU64).put(~uint64_t{0}), "general.alignment"},
      {tensor({}, 0, 0, 64), "\"w\": 0 dimensions"},
      {tensor({1, 1, 1, 1, 1}, 0, 0, 64), "\"w\": 5 dimensions"},
      {tensor({0}, 0, 0, 64), "a side of 0"},
      {tensor({4, uint64_t{1} << 62}, 0, 0, 64), "is too large"},
      {tensor({4, ~uint64_t{0}}, 0, 0, 64), "a side of 18446744073709551615"},
      {tensor({4}, 10, 0, 64), "ggml type 10 is not supported; known are F32, F16"},
      {tensor({33}, 8, 0, 64), "rows of Q8_0 are multiples of 32"},
      {tensor({32}, 12, 0, 64), "rows of Q4_K are multiples of 256"},
      {tensor({4}, 0, 4, 64), "offset 4 is not aligned"},
      {tensor({17}, 0, 0, 64), "reach beyond the file's 64 bytes"},
      {tensor({1}, 0, uint64_t{1} << 63, 64), "reach beyond the file's 64 bytes"},
      {head(2, 0).tensor("w", {4}, 0, 0).tensor("w", {4}, 0, 32).data(64), "\"w\": occurs twice"},
      {head(2, 0).tensor("v", {16}, 0, 0).tensor("w", {4}, 0, 32).data(64),
       "\"w\": offset 32 is inside the tensor before it"},
  };
  for (const auto& c : cases) CHECK_THAT(error_of(folder, c.file), ContainsSubstring(c.message));
}

TEST_CASE("gguf: a file that is cut or damaged anywhere is refused or read, never followed") {
  const TestFolder folder;
  const Bytes whole = small_file();
  for (size_t length = 0; length < whole.bytes.size(); ++length) {
    Bytes cut;
    cut.bytes = whole.bytes.substr(0, length);
    CHECK(!error_of(folder, cut).empty());
  }
  std::mt19937 random(7);
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    Bytes damaged = whole;
    for (int flips = 0; flips < 3; ++flips) {
      damaged.bytes[random() % damaged.bytes.size()] = static_cast<char>(random());
    }
    refused += !error_of(folder, damaged).empty();
  }
  CHECK(refused > 500);
}

TEST_CASE("gguf: architectures, experts and partial rotation are refused by name") {
  const TestFolder folder;
  const auto config_error = [&](const Bytes& file) {
    const auto path = folder.write("m.gguf", file.bytes);
    return load_error_of([&] { saccade::gguf_config(GgufFile(path)); });
  };
  const auto llama = [](uint64_t more) {
    return head(0, 6 + more)
        .key("general.architecture", kString)
        .text("llama")
        .key("llama.embedding_length", kU32)
        .put<uint32_t>(64)
        .key("llama.feed_forward_length", kU32)
        .put<uint32_t>(64)
        .key("llama.block_count", kU32)
        .put<uint32_t>(1)
        .key("llama.context_length", kU32)
        .put<uint32_t>(64)
        .key("llama.attention.head_count", kU32)
        .put<uint32_t>(2);
  };
  CHECK_THAT(config_error(head(0, 1).key("general.architecture", kString).text("mamba")),
             ContainsSubstring("m.gguf: general.architecture: \"mamba\" is not supported"));
  CHECK_THAT(config_error(llama(1).key("llama.expert_count", kU32).put<uint32_t>(8)),
             ContainsSubstring("mixtures of experts"));
  CHECK_THAT(config_error(llama(1).key("llama.rope.dimension_count", kU32).put<uint32_t>(16)),
             ContainsSubstring("rotates a part of each head"));
  CHECK_THAT(config_error(llama(0)), ContainsSubstring("layer_norm_rms_epsilon"));
}

TEST_CASE("gguf: rows of heads that hold neighbours come back as halves") {
  TensorView view;
  view.shape = {8, 1};
  view.interleaved_heads = 2;
  std::vector<int64_t> order;
  for (int64_t row = 0; row < 8; ++row) order.push_back(view.stored_row(row));
  CHECK(order == std::vector<int64_t>{0, 2, 1, 3, 4, 6, 5, 7});
}

TEST_CASE("gguf: formats that the kernels have are taken over number for number") {
  using saccade::kernels::half_to_float;
  using saccade::kernels::WeightFormat;
  std::mt19937 random(3);
  for (const TensorDtype dtype :
       {TensorDtype::kQ8_0, TensorDtype::kQ5_0, TensorDtype::kQ4_0, TensorDtype::kQ4_1}) {
    std::string block(saccade::bytes_of(dtype), '\0');
    for (char& byte : block) byte = static_cast<char>(random());
    block[1] = 0x2c;  // a scale near 0.07
    if (dtype == TensorDtype::kQ4_1) block[3] = static_cast<char>(0xb0);
    for (char& byte : block) byte = byte == char(-128) ? char(5) : byte;  // Q8_0 makes no -128
    TensorView view{
        "w", dtype, {1, 32}, reinterpret_cast<const std::byte*>(block.data()), block.size()};
    float floats[32];
    saccade::read_group(view, 0, 0, floats);
    const auto group = saccade::read_quantized_group(view, 0, 0, saccade::packed_format(dtype));
    for (int i = 0; i < 32; ++i) {
      CHECK(half_to_float(group.scale) * group.q[i] + half_to_float(group.min) == floats[i]);
    }
  }
}

TEST_CASE("gguf: a file made of blocks is a checkpoint with a folder's names") {
  const TestFolder folder;
  Bytes file = head(2, 2);
  file.key("general.architecture", kString).text("llama");
  file.key("llama.attention.head_count", kU32).put<uint32_t>(2);
  file.tensor("blk.12.attn_q.weight", {32, 4}, 8, 0).tensor("token_embd.weight", {4, 2}, 0, 160);
  const auto path = folder.write("m.gguf", file.data(192).bytes);
  const saccade::Checkpoint checkpoint(path);
  const TensorView* queries = checkpoint.find("model.layers.12.self_attn.q_proj.weight");
  REQUIRE(queries != nullptr);
  CHECK(queries->interleaved_heads == 2);
  CHECK(checkpoint.file_of(*queries) == "m.gguf");
  CHECK(checkpoint.find("model.embed_tokens.weight") != nullptr);
}
