// Files of models: a folder from anywhere may be served.
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "engine/core/status.h"
#include "engine/weights/checkpoint.h"
#include "engine/weights/gguf_llama.h"
#include "engine/weights/json.h"
#include "server/prompt/tokenizer/gguf_tokenizer.h"
#include "server/prompt/tokenizer/tokenizer.h"
#include "tests/fuzz/target.h"

namespace saccade::fuzz {
namespace {

// A file in memory that has a path.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& bytes) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    require(fd_ >= 0, "memfd_create failed");
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t written = ::write(fd_, bytes.data() + done, bytes.size() - done);
      require(written > 0, "write failed");
      done += static_cast<size_t>(written);
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

// Every byte that a view promises can be read.
void touch(const TensorView& view) {
  unsigned sum = 0;
  for (size_t i = 0; i < view.bytes; ++i) sum += static_cast<unsigned>(view.data[i]);
  require(view.bytes == 0 || sum < ~0u, "unreachable");
}

// A small LLaMA with its tokenizer, as llama.cpp's converter writes them.
std::string gguf_seed() {
  std::string file = "GGUF";
  const auto put = [&](auto value) {
    file.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto text = [&](const std::string& value) {
    put(static_cast<uint64_t>(value.size()));
    file += value;
  };
  constexpr uint32_t kU32 = 4, kI32 = 5, kF32 = 6, kString = 8, kArray = 9;
  const auto number = [&](const char* key, uint32_t value) { text(key), put(kU32), put(value); };
  const auto words = [&](const char* key, const std::vector<std::string>& values) {
    text(key), put(kArray), put(kString), put(static_cast<uint64_t>(values.size()));
    for (const std::string& value : values) text(value);
  };
  put(uint32_t{3}), put(uint64_t{2}), put(uint64_t{17});
  text("general.architecture"), put(kString), text("llama");
  for (const char* key : {"llama.block_count", "llama.attention.head_count",
                          "llama.attention.head_count_kv", "general.file_type"}) {
    number(key, 1);
  }
  number("llama.context_length", 64), number("llama.embedding_length", 32);
  number("llama.feed_forward_length", 32), number("llama.vocab_size", 3);
  text("llama.attention.layer_norm_rms_epsilon"), put(kF32), put(1e-5f);
  text("llama.rope.freq_base"), put(kF32), put(1e4f);
  text("tokenizer.ggml.model"), put(kString), text("gpt2");
  text("tokenizer.ggml.pre"), put(kString), text("smollm");
  words("tokenizer.ggml.tokens", {"a", "b", "ab"}), words("tokenizer.ggml.merges", {"a b"});
  text("tokenizer.ggml.token_type"), put(kArray), put(kI32), put(uint64_t{3});
  for (int i = 0; i < 3; ++i) put(int32_t{1});
  number("tokenizer.ggml.eos_token_id", 2), number("tokenizer.ggml.bos_token_id", 0);
  text("token_embd.weight"), put(uint32_t{2}), put(uint64_t{32}), put(uint64_t{3}),
      put(uint32_t{0});
  put(uint64_t{0});
  text("blk.0.attn_q.weight"), put(uint32_t{2}), put(uint64_t{32}), put(uint64_t{32});
  put(uint32_t{8}), put(uint64_t{384});
  file.resize((file.size() + 31) / 32 * 32 + 384 + 34 * 32);
  return file;
}

void read_safetensors(const std::string& input) {
  const MemoryFile file(input);
  try {
    const SafetensorsFile read(file.path(), "x.safetensors");
    for (const TensorView& view : read.tensors()) touch(view);
  } catch (const LoadError&) {
  }
}

void read_gguf(const std::string& input) {
  const MemoryFile file(input);
  try {
    const GgufFile read(file.path());
    for (const TensorView& view : read.tensors()) touch(view);
    try {
      (void)gguf_config(read);
      for (const TensorView& view : gguf_tensors(read)) touch(view);
    } catch (const LoadError&) {
    }
    (void)gguf_tokenizer_config(read.metadata());
    (void)gguf_tokenizer_json(read.metadata());
  } catch (const LoadError&) {
  }
}

void read_json(const std::string& input) {
  const MemoryFile file(input);
  try {
    const JsonFile read(file.path(), "config.json");
    (void)read.root().string("model_type", "");
  } catch (const LoadError&) {
  }
}

// Reads it as a folder's tokenizer.json, and uses it.
void read_tokenizer(const std::string& input) {
  static const std::filesystem::path folder = [] {
    std::string pattern = "/tmp/saccade-fuzz-XXXXXX";
    require(::mkdtemp(pattern.data()) != nullptr, "mkdtemp failed");
    return std::filesystem::path(pattern);
  }();
  const MemoryFile file(input);
  const std::filesystem::path link = folder / "tokenizer.json";
  std::filesystem::remove(link);
  std::filesystem::create_symlink(file.path(), link);
  try {
    const auto tokenizer = Tokenizer::load(folder);
    const auto ids = tokenizer->encode("Hello  w\u00f6rld 123 \U0001f600 <s>");
    (void)tokenizer->decode(ids, false);
    for (TokenId id = -1; id < std::min(tokenizer->vocab_size(), 400); ++id) {
      (void)tokenizer->token_bytes(id);
      (void)tokenizer->is_special(id);
    }
  } catch (const LoadError&) {
  }
}

}  // namespace

std::vector<Target> engine_targets() {
  const std::string golden = "tests/golden/";
  return {
      {"safetensors",
       {read_seed(golden + "llama_gqa/model.safetensors").substr(0, 20000),
        read_seed(golden + "llama_gqa/model.safetensors")},
       {"\"dtype\":\"F32\"", "\"shape\":[2,3]", "\"data_offsets\":[0,24]", "BF16", "F8_E4M3",
        "18446744073709551615", "__metadata__"},
       read_safetensors},
      {"gguf",
       {gguf_seed()},
       {"general.architecture", "llama", "tokenizer.ggml.tokens"},
       read_gguf},
      {"config",
       {read_seed(golden + "llava/config.json"), read_seed(golden + "qwen2_vl/config.json")},
       {"{", "}", "[", "]", "null", "1e308", "\\ud800", "\\u0000", "NaN", "-Infinity", "\"\""},
       read_json},
      {"tokenizer",
       {read_seed(golden + "llama_bias/tokenizer.json"),
        read_seed(golden + "llama_gqa/tokenizer.json"),
        read_seed("models/saccade-eyes/qformer_tokenizer/tokenizer.json")},
       {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", "\"type\": \"Sequence\"", "null", "-1",
        "4294967296", "\"Regex\": \"(a+)+$\"", "\"\\\\p{L}{0,65535}\"", "\"ByteLevel\"", "[]", "{}",
        "\"merges\"", "true"},
       read_tokenizer},
  };
}

}  // namespace saccade::fuzz
