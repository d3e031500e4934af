#include "engine/weights/safetensors.h"

#include <algorithm>
#include <optional>

#include "engine/core/status.h"
#include "engine/weights/json.h"

namespace saccade {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeaderBytes = 100'000'000;  // the reference's limit

// The data part of the file, which the header's offsets count from.
struct DataSection {
  const std::byte* begin;
  size_t bytes;
};

// Reads one member of the header: "name": {"dtype": .., "shape": [..], "data_offsets": [b, e]}.
class HeaderEntry {
 public:
  HeaderEntry(std::string_view file, const JsonMember& member) : file_(file), member_(member) {
    if (member.value.object() == nullptr) {
      fail("expected an object, got " + member.value.describe());
    }
  }

  TensorView read(DataSection data) const {
    TensorView tensor;
    tensor.name = member_.key;
    tensor.dtype = dtype();
    tensor.shape = sizes("shape");
    const std::vector<int64_t> offsets = sizes("data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1]) {
      fail("data_offsets: expected [begin, end] with begin <= end, got " + shape_text(offsets));
    }
    if (static_cast<uint64_t>(offsets[1]) > data.bytes) {
      fail("data_offsets: " + shape_text(offsets) + " reach beyond the file's " +
           std::to_string(data.bytes) + " bytes of data (truncated file?)");
    }
    tensor.data = data.begin + offsets[0];
    tensor.bytes = static_cast<size_t>(offsets[1] - offsets[0]);
    const std::optional<size_t> expected = size_in_bytes(tensor.shape, bytes_of(tensor.dtype));
    if (!expected || *expected != tensor.bytes) {
      fail("shape " + shape_text(tensor.shape) + " of " + std::string(name_of(tensor.dtype)) +
           " needs " + (expected ? std::to_string(*expected) : "too many") +
           " bytes, data_offsets give " + std::to_string(tensor.bytes));
    }
    return tensor;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    fail_file(file_, printable(member_.key) + ": " + why);
  }

  TensorDtype dtype() const {
    const Json* value = member_.value.find("dtype");
    if (value == nullptr) fail("dtype: missing");
    if (value->string() == nullptr) fail("dtype: expected a string, got " + value->describe());
    const std::optional<TensorDtype> known = plain_dtype(*value->string());
    if (!known) fail("dtype: unknown or unsupported: " + value->describe());
    return *known;
  }

  // A list of integers >= 0.
  std::vector<int64_t> sizes(const char* key) const {
    const Json* list = member_.value.find(key);
    if (list == nullptr) fail(std::string(key) + ": missing");
    if (list->array() == nullptr) {
      fail(std::string(key) + ": expected a list, got " + list->describe());
    }
    std::vector<int64_t> out;
    for (const Json& element : *list->array()) {
      const int64_t* size = element.integer();
      if (size == nullptr || *size < 0) {
        fail(std::string(key) + ": expected integers >= 0, got " + element.describe());
      }
      out.push_back(*size);
    }
    return out;
  }

  // nullopt when the product overflows. As in the reference, sides are multiplied in order, so an
  // overflow before a later side of 0 is an overflow.
  static std::optional<size_t> size_in_bytes(const std::vector<int64_t>& shape, size_t element) {
    size_t total = 1;
    for (const int64_t side : shape) {
      if (__builtin_mul_overflow(total, static_cast<size_t>(side), &total)) return std::nullopt;
    }
    if (__builtin_mul_overflow(total, element, &total)) return std::nullopt;
    return total;
  }

  std::string_view file_;
  const JsonMember& member_;
};

void check_metadata(std::string_view file, const Json& metadata) {
  if (metadata.is_null()) return;
  const Json::Object* members = metadata.object();
  if (members == nullptr) fail_file(file, "__metadata__: expected an object");
  for (const JsonMember& member : *members) {
    if (member.value.string() == nullptr) {
      fail_file(file, "__metadata__: expected strings, got " + member.value.describe());
    }
  }
}

// Sorted by position, each tensor must begin where the one before it ended.
void check_coverage(std::string_view file, std::vector<TensorView>& tensors, DataSection data) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    return a.data != b.data ? a.data < b.data : a.bytes < b.bytes;
  });
  const std::byte* end = data.begin;
  for (const TensorView& tensor : tensors) {
    if (tensor.data != end) {
      fail_file(file, printable(tensor.name) + ": data_offsets begin at " +
                          std::to_string(tensor.data - data.begin) +
                          (tensor.data < end ? ", inside the tensor before it, which ends at "
                                             : ", after a hole: the tensor before it ends at ") +
                          std::to_string(end - data.begin));
    }
    end = tensor.data + tensor.bytes;
  }
  if (const size_t covered = static_cast<size_t>(end - data.begin); covered != data.bytes) {
    fail_file(file, "the header describes " + std::to_string(covered) +
                        " bytes of data, the file has " + std::to_string(data.bytes));
  }
}

uint64_t little_endian(const std::byte* bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) value |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  return value;
}

std::string_view header_text(std::string_view name, const MappedFile& file) {
  if (file.size() < kLengthBytes) fail_file(name, "too short for a safetensors file");
  const uint64_t length = little_endian(file.data());
  if (length > kMaxHeaderBytes) {
    fail_file(name, "header length " + std::to_string(length) + " is over the limit of " +
                        std::to_string(kMaxHeaderBytes) + " (not a safetensors file?)");
  }
  if (length > file.size() - kLengthBytes) {
    fail_file(name, "header length " + std::to_string(length) + " is over the file's " +
                        std::to_string(file.size()) + " bytes (truncated file?)");
  }
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<size_t>(length)};
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path, std::string name)
    : name_(name.empty() ? path.filename().string() : std::move(name)), file_(path, name_) {
  const std::string_view text = header_text(name_, file_);
  // A tensor of the header is about 10 values; depth 3 is {"name": {"shape": [1]}}.
  const JsonLimits limits{.max_bytes = kMaxHeaderBytes, .max_depth = 8, .max_values = 8u << 20};
  const Json header = parse_json(text, name_ + ": header", limits);
  if (header.object() == nullptr) fail_file(name_, "header: expected an object");
  const DataSection data{file_.data() + kLengthBytes + text.size(),
                         file_.size() - kLengthBytes - text.size()};
  for (const JsonMember& member : *header.object()) {
    if (member.key == "__metadata__") {
      check_metadata(name_, member.value);
    } else {
      tensors_.push_back(HeaderEntry(name_, member).read(data));
    }
  }
  check_coverage(name_, tensors_, data);
}

}  // namespace saccade
