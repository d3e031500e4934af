#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/prompt/tokenizer/json_node.h"

namespace saccade {

// A stretch of a token's text on its way through the decoders. Most tokens travel whole; one that
// is still growing (ByteLevel and Fuse make one token of all) travels in several fragments.
struct Fragment {
  std::string text;
  bool begins = true;  // the first fragment of its token
  bool ends = true;    // the last one
};

enum class DecodeMode {
  kList,    // the whole text at once: an unfinished UTF-8 sequence becomes U+FFFD
  kStream,  // text is wanted as soon as it is certain; an unfinished sequence at the end is dropped
};

// The state of one text being decoded. Text that later tokens could still change is held back.
class DecoderStage {
 public:
  using Sink = std::function<void(Fragment)>;
  virtual ~DecoderStage() = default;
  virtual void push(Fragment fragment, const Sink& sink) = 0;
  virtual void finish(const Sink& sink) = 0;
};

// One decoder of a tokenizer.json. Immutable and shared by threads; stages hold the state.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::unique_ptr<DecoderStage> start(DecodeMode mode) const = 0;
  // What a token in the middle of a text stands for.
  virtual void spell(std::string& piece) const = 0;
};

// The decoders of a file, in order. A list is decoded by the same code as a stream.
class DecoderChain {
 public:
  // Joins tokens with spaces, as the reference does without a decoder.
  DecoderChain();
  // Throws LoadError naming an unknown type.
  explicit DecoderChain(const JsonNode& node);

  // Text of one token list or stream, fed piece by piece.
  class Run {
   public:
    Run(const DecoderChain& chain, DecodeMode mode);
    void push(std::string_view piece, std::string& out);
    void finish(std::string& out);

   private:
    void pass(size_t stage, Fragment fragment, std::string& out);
    std::vector<std::unique_ptr<DecoderStage>> stages_;
  };

  std::string spell(std::string_view piece) const;

 private:
  std::vector<std::unique_ptr<Decoder>> decoders_;
};

}  // namespace saccade
