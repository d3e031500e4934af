#include "engine/weights/safetensors.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cstring>
#include <random>

#include "tests/engine/weights/test_folder.h"

using Catch::Matchers::ContainsSubstring;
using saccade::SafetensorsFile;
using saccade::TensorDtype;
using saccade::TensorView;
using saccade::testing::load_error_of;
using saccade::testing::safetensors_bytes;
using saccade::testing::TestFolder;

namespace {

constexpr const char* kTwoTensors =
    R"({"__metadata__": {"format": "pt"},
        "b": {"dtype": "F32", "shape": [2, 1], "data_offsets": [6, 14]},
        "a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}})";

std::string error_of(const TestFolder& folder, std::string_view bytes) {
  const auto path = folder.write("model.safetensors", bytes);
  return load_error_of([&] { SafetensorsFile file(path); });
}

std::string length_bytes(uint64_t length) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(length >> (8 * i));
  return out;
}

}  // namespace

TEST_CASE("safetensors: reads tensors in place") {
  const TestFolder folder;
  const auto path = folder.write("model.safetensors", safetensors_bytes(kTwoTensors, 14));
  const SafetensorsFile file(path);
  REQUIRE(file.tensors().size() == 2);
  const TensorView& a = file.tensors()[0];
  const TensorView& b = file.tensors()[1];
  CHECK(a.name == "a");
  CHECK(a.dtype == TensorDtype::kBF16);
  CHECK(a.shape == std::vector<int64_t>{3});
  CHECK(a.bytes == 6);
  CHECK(b.name == "b");
  CHECK(b.shape == std::vector<int64_t>{2, 1});
  CHECK(std::memcmp(b.data, "\x06\x07\x08\x09\x0a\x0b\x0c\x0d", 8) == 0);
  file.advise_dontneed(b);
  CHECK(std::memcmp(a.data, "\x00\x01\x02\x03\x04\x05", 6) == 0);
  CHECK(std::memcmp(b.data, "\x06\x07\x08\x09\x0a\x0b\x0c\x0d", 8) == 0);
}

TEST_CASE("safetensors: scalars, empty tensors, empty files and padded headers are valid") {
  const TestFolder folder;
  const struct {
    const char* header;
    size_t data;
    size_t tensors;
  } cases[] = {
      {R"({"s": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}})", 4, 1},
      {R"({"e": {"dtype": "F32", "shape": [0, 7], "data_offsets": [0, 0]},
           "f": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}})",
       1, 2},
      {"{}", 0, 0},
      {"{}      ", 0, 0},
  };
  for (const auto& [header, data, tensors] : cases) {
    CAPTURE(header);
    const auto path = folder.write("model.safetensors", safetensors_bytes(header, data));
    CHECK(SafetensorsFile(path).tensors().size() == tensors);
  }
}

TEST_CASE("safetensors: every dtype has its size") {
  const TestFolder folder;
  const std::pair<const char*, int> dtypes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
      {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
      {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8}};
  for (const auto& [dtype, bytes] : dtypes) {
    CAPTURE(dtype);
    const std::string header = std::string(R"({"x": {"dtype": ")") + dtype +
                               R"(", "shape": [3], "data_offsets": [0, )" +
                               std::to_string(3 * bytes) + "]}}";
    const auto path = folder.write("model.safetensors", safetensors_bytes(header, 3 * bytes));
    const SafetensorsFile file(path);
    CHECK(saccade::name_of(file.tensors()[0].dtype) == dtype);
    CHECK(saccade::bytes_of(file.tensors()[0].dtype) == static_cast<size_t>(bytes));
  }
}

TEST_CASE("safetensors: hostile headers are refused with a reason") {
  const TestFolder folder;
  const struct {
    const char* header;
    size_t data;
    const char* message;
  } cases[] = {
      {"", 0, "header: line 1 column 1: unexpected end"},
      {"[]", 0, "header: expected an object"},
      {"{", 0, "unexpected end of the text"},
      {R"({"a": 1})", 0, R"(model.safetensors: "a": expected an object, got 1)"},
      {R"({"__metadata__": {"x": 1}})", 0, "__metadata__: expected strings"},
      {R"({"__metadata__": []})", 0, "__metadata__: expected an object"},
      {R"({"a": {"shape": [1], "data_offsets": [0, 4]}})", 4, R"("a": dtype: missing)"},
      {R"({"a": {"dtype": 3, "shape": [1], "data_offsets": [0, 4]}})", 4, "expected a string"},
      {R"({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}})", 1,
       R"(dtype: unknown or unsupported: "F4")"},
      {R"({"a": {"dtype": "F32", "data_offsets": [0, 4]}})", 4, "shape: missing"},
      {R"({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}})", 4, "expected a list"},
      {R"({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}})", 4, "got -1"},
      {R"({"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}})", 4, "got 1"},
      {R"({"a": {"dtype": "F32", "shape": [null], "data_offsets": [0, 4]}})", 4, "got null"},
      {R"({"a": {"dtype": "F32", "shape": [1]}})", 4, "data_offsets: missing"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}})", 4, "[begin, end]"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}})", 4, "[begin, end]"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}})", 4, "begin <= end"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})", 4, "integers >= 0"},
      {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", 4, "reach beyond"},
      {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [9223372036854775800,
           9223372036854775807]}})",
       4, "reach beyond"},
      {R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [18446744073709551612, 4]}})", 4,
       "integers >= 0"},
      {R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}})", 8,
       "shape [1] of F32 needs 4 bytes, data_offsets give 8"},
      {R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}})", 0,
       "needs too many bytes"},
      {R"({"a": {"dtype": "F32", "shape": [4611686018427387904], "data_offsets": [0, 0]}})", 0,
       "needs too many bytes"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "a": {"dtype": "U8", "shape": [4], "data_offsets": [4, 8]}})",
       8, R"(the key "a" occurs twice)"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]}})",
       6, "begin at 2, inside the tensor before it"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "b": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})",
       4, "inside the tensor before it"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
           "b": {"dtype": "U8", "shape": [4], "data_offsets": [6, 10]}})",
       10, "begin at 6, after a hole: the tensor before it ends at 4"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [1, 5]}})", 5, "after a hole"},
      {R"({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}})", 9,
       "the header describes 4 bytes of data, the file has 9"},
      {R"({"a\u000a\u001b[31m": 1})", 0, R"("a\x0a\x1b[31m": expected an object)"},
  };
  for (const auto& [header, data, message] : cases) {
    CAPTURE(header, message);
    const std::string error = error_of(folder, safetensors_bytes(header, data));
    CHECK_THAT(error, ContainsSubstring(message));
    CHECK(error.starts_with("model.safetensors: "));
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("safetensors: hostile lengths and truncated files are refused") {
  const TestFolder folder;
  CHECK_THAT(error_of(folder, ""), ContainsSubstring("model.safetensors: empty file"));
  CHECK_THAT(error_of(folder, "1234567"), ContainsSubstring("too short"));
  CHECK_THAT(error_of(folder, length_bytes(UINT64_MAX) + "{}"),
             ContainsSubstring("over the limit"));
  CHECK_THAT(error_of(folder, length_bytes(100'000'001)), ContainsSubstring("over the limit"));
  CHECK_THAT(error_of(folder, length_bytes(100'000'000)), ContainsSubstring("truncated file?"));
  CHECK_THAT(error_of(folder, length_bytes(3) + "{}"), ContainsSubstring("truncated file?"));
  const std::string whole = safetensors_bytes(kTwoTensors, 14);
  REQUIRE(error_of(folder, whole).empty());
  for (size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_FALSE(error_of(folder, whole.substr(0, size)).empty());
  }
}

// Whatever a header says, a file that is accepted has views that lie inside it. Run under the
// address sanitizer this also reads every byte of them.
TEST_CASE("safetensors: damaged headers never yield a view outside the file") {
  const TestFolder folder;
  const std::string whole = safetensors_bytes(kTwoTensors, 14);
  const size_t header_end = whole.size() - 14;
  std::mt19937 random(20240607);
  const std::string_view alphabet = "0123456789-.,:[]{}\"eE \\u\x80\xff";
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole;
    for (unsigned edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % header_end;
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes[at] = alphabet[random() % alphabet.size()];
          break;
        case 2:
          bytes.erase(at, 1 + random() % 4);
          break;
        default:
          bytes.insert(at, 1, alphabet[random() % alphabet.size()]);
      }
    }
    if (bytes.size() >= 8 && random() % 2 == 0) {  // make the length fit again: deeper checks
      const size_t header = bytes.size() > 22 ? bytes.size() - 22 : 0;
      bytes.replace(0, 8, length_bytes(header));
    }
    const auto path = folder.write("model.safetensors", bytes);
    try {
      const SafetensorsFile file(path);
      ++accepted;
      size_t total = 0;
      for (const TensorView& tensor : file.tensors()) {
        for (size_t i = 0; i < tensor.bytes; ++i) (void)std::to_integer<int>(tensor.data[i]);
        total += tensor.bytes;
      }
      REQUIRE(total + 8 <= bytes.size());
    } catch (const saccade::LoadError&) {
    }
  }
  CHECK(accepted > 20);  // edits inside names and metadata leave a valid file
  CHECK(accepted < 15000);
}
