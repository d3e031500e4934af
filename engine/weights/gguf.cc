#include "engine/weights/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <optional>
#include <unordered_set>

#include "engine/core/status.h"

namespace saccade {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kMaxKeys = 1 << 16;
constexpr uint64_t kMaxTensors = 1 << 16;
constexpr uint64_t kMaxArrayValues = 4 << 20;  // of all arrays together; vocabularies have 300k
constexpr uint32_t kMaxDims = 4;
constexpr int kDefaultAlignment = 32;
constexpr int kMaxAlignment = 1 << 20;

// The numbers of value types in the file.
enum class ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// ggml's numbers of tensor types.
struct TypeNumber {
  uint32_t number;
  TensorDtype dtype;
};
constexpr TypeNumber kTypes[] = {
    {0, TensorDtype::kF32},   {1, TensorDtype::kF16},   {2, TensorDtype::kQ4_0},
    {3, TensorDtype::kQ4_1},  {6, TensorDtype::kQ5_0},  {7, TensorDtype::kQ5_1},
    {8, TensorDtype::kQ8_0},  {12, TensorDtype::kQ4_K}, {13, TensorDtype::kQ5_K},
    {14, TensorDtype::kQ6_K}, {30, TensorDtype::kBF16},
};

// Reads forward through the file; never beyond its end.
class Cursor {
 public:
  Cursor(const MappedFile& file, std::string_view name) : file_(file), name_(name) {}

  [[noreturn]] void fail(const std::string& why) const {
    throw LoadError(std::string(name_) + ": " + (at_.empty() ? why : printable(at_) + ": " + why));
  }
  // What messages speak of from here on: a key or a tensor.
  void speak_of(std::string what) { at_ = std::move(what); }

  size_t position() const { return position_; }

  std::string_view bytes(uint64_t count) {
    if (count > file_.size() - position_) {
      fail("needs " + std::to_string(count) + " bytes where the file has " +
           std::to_string(file_.size() - position_) + " left (truncated file?)");
    }
    const std::string_view out(reinterpret_cast<const char*>(file_.data()) + position_, count);
    position_ += count;
    return out;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }
  std::string string() { return std::string(bytes(number<uint64_t>())); }

  // A key's value. Arrays hold no arrays.
  Json value(ValueType type) {
    switch (type) {
      case ValueType::kU8:
        return integer<uint8_t>();
      case ValueType::kI8:
        return integer<int8_t>();
      case ValueType::kU16:
        return integer<uint16_t>();
      case ValueType::kI16:
        return integer<int16_t>();
      case ValueType::kU32:
        return integer<uint32_t>();
      case ValueType::kI32:
        return integer<int32_t>();
      case ValueType::kI64:
        return integer<int64_t>();
      case ValueType::kU64: {
        const auto value = number<uint64_t>();
        return value <= INT64_MAX ? Json(static_cast<int64_t>(value))
                                  : Json(static_cast<double>(value));
      }
      case ValueType::kF32:
        return Json(static_cast<double>(number<float>()));
      case ValueType::kF64:
        return Json(number<double>());
      case ValueType::kBool:
        return Json(number<uint8_t>() != 0);
      case ValueType::kString:
        return Json(string());
      case ValueType::kArray:
        return array();
    }
    fail("unknown value type " + std::to_string(static_cast<uint32_t>(type)));
  }

 private:
  template <typename T>
  Json integer() {
    return Json(static_cast<int64_t>(number<T>()));
  }

  Json array() {
    const auto type = static_cast<ValueType>(number<uint32_t>());
    if (type == ValueType::kArray) fail("arrays of arrays are not supported");
    const auto count = number<uint64_t>();
    if (count > kMaxArrayValues - array_values_) fail("too many values in arrays");
    array_values_ += count;
    Json::Array values;
    // A value has at least one byte: a count that the file cannot hold reserves nothing.
    values.reserve(std::min<uint64_t>(count, file_.size() - position_));
    for (uint64_t i = 0; i < count; ++i) values.push_back(value(type));
    return Json(std::move(values));
  }

  const MappedFile& file_;
  std::string_view name_;
  std::string at_;
  size_t position_ = 0;
  uint64_t array_values_ = 0;
};

Json read_metadata(Cursor& cursor, uint64_t count) {
  Json::Object members;
  std::unordered_set<std::string> seen;
  for (uint64_t i = 0; i < count; ++i) {
    cursor.speak_of("");
    std::string key = cursor.string();
    cursor.speak_of(key);
    if (!seen.insert(key).second) cursor.fail("occurs twice");
    members.push_back(
        {std::move(key), cursor.value(static_cast<ValueType>(cursor.number<uint32_t>()))});
  }
  return Json(std::move(members));
}

struct TensorEntry {
  TensorView view;
  uint64_t offset;  // in the data
};

TensorDtype read_dtype(Cursor& cursor) {
  const auto number = cursor.number<uint32_t>();
  for (const TypeNumber& type : kTypes) {
    if (type.number == number) return type.dtype;
  }
  cursor.fail("ggml type " + std::to_string(number) +
              " is not supported; known are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, "
              "Q5_K and Q6_K");
}

// nullopt when the product overflows.
std::optional<size_t> size_in_bytes(const TensorView& tensor) {
  size_t total = bytes_of(tensor.dtype);
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    auto side = static_cast<size_t>(tensor.shape[i]);
    if (i + 1 == tensor.shape.size()) side /= static_cast<size_t>(block_of(tensor.dtype));
    if (__builtin_mul_overflow(total, side, &total)) return std::nullopt;
  }
  return total;
}

TensorEntry read_tensor(Cursor& cursor) {
  cursor.speak_of("");
  TensorEntry entry;
  TensorView& tensor = entry.view;
  tensor.name = cursor.string();
  cursor.speak_of(tensor.name);
  const auto dims = cursor.number<uint32_t>();
  if (dims == 0 || dims > kMaxDims) cursor.fail(std::to_string(dims) + " dimensions");
  for (uint32_t i = 0; i < dims; ++i) {
    const auto side = cursor.number<uint64_t>();
    if (side == 0 || side > INT64_MAX) cursor.fail("a side of " + std::to_string(side));
    tensor.shape.insert(tensor.shape.begin(),
                        static_cast<int64_t>(side));  // stored innermost first
  }
  tensor.dtype = read_dtype(cursor);
  if (tensor.shape.back() % block_of(tensor.dtype) != 0) {
    cursor.fail("shape " + shape_text(tensor.shape) + ": rows of " +
                std::string(name_of(tensor.dtype)) + " are multiples of " +
                std::to_string(block_of(tensor.dtype)));
  }
  const std::optional<size_t> bytes = size_in_bytes(tensor);
  if (!bytes) cursor.fail("shape " + shape_text(tensor.shape) + " is too large");
  tensor.bytes = *bytes;
  entry.offset = cursor.number<uint64_t>();
  return entry;
}

// Tensors must be aligned, inside the data and apart from each other.
void place_tensors(const std::string& file, std::vector<TensorEntry>& entries, uint64_t alignment,
                   const std::byte* data, size_t data_bytes) {
  std::vector<TensorEntry*> by_offset;
  for (TensorEntry& entry : entries) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(),
            [](const TensorEntry* a, const TensorEntry* b) { return a->offset < b->offset; });
  uint64_t end = 0;
  for (TensorEntry* entry : by_offset) {
    const std::string where =
        file + ": " + printable(entry->view.name) + ": offset " + std::to_string(entry->offset);
    if (entry->offset % alignment != 0) throw LoadError(where + " is not aligned");
    if (entry->offset < end) throw LoadError(where + " is inside the tensor before it");
    if (entry->offset > data_bytes || entry->view.bytes > data_bytes - entry->offset) {
      throw LoadError(where + " and " + std::to_string(entry->view.bytes) +
                      " bytes reach beyond the file's " + std::to_string(data_bytes) +
                      " bytes of data (truncated file?)");
    }
    entry->view.data = data + entry->offset;
    end = entry->offset + entry->view.bytes;
  }
}

}  // namespace

bool GgufFile::is_at(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  char magic[kMagic.size()] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::string_view(magic, sizeof magic) == kMagic;
}

GgufFile::GgufFile(const std::filesystem::path& path)
    : name_(path.filename().string()), file_(path, name_) {
  static_assert(std::endian::native == std::endian::little);
  Cursor cursor(file_, name_);
  if (cursor.bytes(kMagic.size()) != kMagic) cursor.fail("not a GGUF file");
  const auto version = cursor.number<uint32_t>();
  if (version != 2 && version != 3) {
    cursor.fail("GGUF version " + std::to_string(version) + "; 2 and 3 are read");
  }
  const auto tensor_count = cursor.number<uint64_t>();
  const auto key_count = cursor.number<uint64_t>();
  if (tensor_count > kMaxTensors) cursor.fail(std::to_string(tensor_count) + " tensors");
  if (key_count > kMaxKeys) cursor.fail(std::to_string(key_count) + " keys");
  metadata_ = read_metadata(cursor, key_count);
  std::vector<TensorEntry> entries;
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < tensor_count; ++i) {
    entries.push_back(read_tensor(cursor));
    if (!names.insert(entries.back().view.name).second) cursor.fail("occurs twice");
  }
  const int alignment =
      metadata().integer_or("general.alignment", kDefaultAlignment, 1, kMaxAlignment);
  if (!std::has_single_bit(static_cast<unsigned>(alignment))) {
    metadata().fail("general.alignment", "expected a power of two");
  }
  const size_t step = static_cast<size_t>(alignment);
  const size_t data = std::min((cursor.position() + step - 1) / step * step, file_.size());
  place_tensors(name_, entries, step, file_.data() + data, file_.size() - data);
  for (TensorEntry& entry : entries) tensors_.push_back(std::move(entry.view));
}

}  // namespace saccade
