#include "server/prompt/tokenizer/decoder_stages.h"

#include <optional>
#include <utility>
#include <vector>

#include "server/prompt/tokenizer/byte_alphabet.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {
namespace {

constexpr const char* kReplacementChar = "\xEF\xBF\xBD";  // U+FFFD

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  size_t at = text.find(from);
  if (at == std::string::npos) return;
  std::string out;
  size_t last = 0;
  for (; at != std::string::npos; at = text.find(from, last)) {
    out.append(text, last, at - last);
    out.append(to);
    last = at + from.size();
  }
  out.append(text, last);
  text = std::move(out);
}

// Collects the fragments of a token and handles it as a whole.
class WholeTokenStage : public DecoderStage {
 public:
  void push(Fragment fragment, const Sink& sink) final {
    if (fragment.begins) token_.clear();
    token_ += fragment.text;
    if (fragment.ends) token(std::move(token_), sink);
  }
  void finish(const Sink&) override {}

 protected:
  virtual void token(std::string text, const Sink& sink) = 0;

 private:
  std::string token_;
};

// Makes one growing token out of text that becomes certain little by little.
class GrowingToken {
 public:
  void grow(std::string text, const DecoderStage::Sink& sink) {
    if (text.empty()) return;
    sink({std::move(text), !open_, false});
    open_ = true;
  }
  void end(const DecoderStage::Sink& sink) {
    if (open_) sink({"", false, true});
    open_ = false;
  }

 private:
  bool open_ = false;
};

class JoinDecoder : public Decoder {
 public:
  struct Stage : WholeTokenStage {
    void token(std::string text, const Sink& sink) override {
      if (!first) text.insert(0, 1, ' ');
      sink({std::move(text)});
      first = false;
    }
    bool first = true;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>();
  }
  void spell(std::string& piece) const override { piece.insert(0, 1, ' '); }
};

class ByteLevelDecoder : public Decoder {
 public:
  class Stage : public WholeTokenStage {
   public:
    explicit Stage(DecodeMode mode) : mode_(mode) {}
    void token(std::string text, const Sink& sink) override {
      bytes_ += byte_alphabet::to_bytes(text).value_or(text);
      std::string certain;
      size_t done = 0;
      for (bool incomplete = false; done < bytes_.size();) {
        const std::string_view rest = std::string_view(bytes_).substr(done);
        const int length = unicode::scan_sequence(rest, incomplete);
        if (incomplete) break;
        if (length < 0) {
          certain += kReplacementChar;
        } else {
          certain += rest.substr(0, static_cast<size_t>(length));
        }
        done += static_cast<size_t>(length < 0 ? -length : length);
      }
      bytes_.erase(0, done);
      text_.grow(std::move(certain), sink);
    }
    void finish(const Sink& sink) override {
      if (!bytes_.empty() && mode_ == DecodeMode::kList) text_.grow(kReplacementChar, sink);
      bytes_.clear();
      text_.end(sink);
    }

   private:
    DecodeMode mode_;
    std::string bytes_;  // an unfinished UTF-8 sequence
    GrowingToken text_;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode mode) const override {
    return std::make_unique<Stage>(mode);
  }
  void spell(std::string& piece) const override {
    if (auto bytes = byte_alphabet::to_bytes(piece)) piece = std::move(*bytes);
  }
};

// "<0x0A>" -> 0x0A
std::optional<unsigned char> fallback_byte(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : piece.substr(3, 2)) {
    const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                           : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A' + 10)
                           : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a' + 10)
                                                  : 16;
    if (digit == 16) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<unsigned char>(value);
}

// A run of byte tokens is one piece of text if all of it is valid UTF-8, else one U+FFFD per byte.
// A stream cannot wait for the end of the run: it releases every character that is complete, and
// only what follows an invalid byte turns into U+FFFD.
class ByteFallbackDecoder : public Decoder {
 public:
  class Stage : public WholeTokenStage {
   public:
    explicit Stage(DecodeMode mode) : mode_(mode) {}
    void token(std::string text, const Sink& sink) override {
      if (const auto byte = fallback_byte(text)) {
        bytes_ += static_cast<char>(*byte);
        if (mode_ == DecodeMode::kStream) release(sink);
        return;
      }
      end_run(sink);
      sink({std::move(text)});
    }
    void finish(const Sink& sink) override {
      if (mode_ == DecodeMode::kStream) {
        bytes_.clear();
        text_.end(sink);
      } else {
        end_run(sink);
      }
    }

   private:
    void release(const Sink& sink) {
      bool incomplete = false;
      const int length = broken_ ? -1 : unicode::scan_sequence(bytes_, incomplete);
      if (incomplete) return;
      if (length > 0) {
        text_.grow(std::exchange(bytes_, {}), sink);
      } else {
        broken_ = true;
        give_up(sink);
      }
    }
    void give_up(const Sink& sink) {
      text_.end(sink);
      for (size_t i = 0; i < bytes_.size(); ++i) sink({kReplacementChar});
      bytes_.clear();
    }
    void end_run(const Sink& sink) {
      if (unicode::is_valid(bytes_)) {
        text_.grow(std::exchange(bytes_, {}), sink);
        text_.end(sink);
      } else {
        give_up(sink);
      }
      broken_ = false;
    }

    DecodeMode mode_;
    std::string bytes_;    // of the current run, not released yet
    bool broken_ = false;  // the current run holds an invalid byte
    GrowingToken text_;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode mode) const override {
    return std::make_unique<Stage>(mode);
  }
  void spell(std::string& piece) const override {
    if (const auto byte = fallback_byte(piece)) piece = std::string(1, static_cast<char>(*byte));
  }
};

class FuseDecoder : public Decoder {
 public:
  struct Stage : DecoderStage {
    void push(Fragment fragment, const Sink& sink) override {
      text.grow(std::move(fragment.text), sink);
    }
    void finish(const Sink& sink) override { text.end(sink); }
    GrowingToken text;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>();
  }
  void spell(std::string&) const override {}
};

class StripDecoder : public Decoder {
 public:
  StripDecoder(char32_t content, size_t start, size_t stop) : start_(start), stop_(stop) {
    unicode::append(content_, content);
  }
  class Stage : public DecoderStage {
   public:
    explicit Stage(const StripDecoder& owner) : owner_(owner) {}
    void push(Fragment fragment, const Sink& sink) override {
      if (fragment.begins) {
        dropped_ = held_ = 0;
        leading_ = true;
      }
      std::string out;
      for (size_t pos = 0; pos < fragment.text.size();) {
        const size_t begin = pos;
        unicode::next_char(fragment.text, pos);
        take(std::string_view(fragment.text).substr(begin, pos - begin), out);
      }
      if (fragment.ends) held_ = 0;
      sink({std::move(out), fragment.begins, fragment.ends});
    }
    void finish(const Sink&) override {}

   private:
    void take(std::string_view c, std::string& out) {
      const bool content = c == owner_.content_;
      if (leading_ && content && dropped_ < owner_.start_) {
        ++dropped_;
        return;
      }
      leading_ = false;
      if (content && owner_.stop_ > 0) {
        if (held_ == owner_.stop_) {
          out += c;
        } else {
          ++held_;
        }
        return;
      }
      for (; held_ > 0; --held_) out += owner_.content_;
      out += c;
    }

    const StripDecoder& owner_;
    size_t dropped_ = 0;  // at the start of the token
    size_t held_ = 0;     // may turn out to be the end of the token
    bool leading_ = true;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>(*this);
  }
  void spell(std::string&) const override {}

 private:
  std::string content_;
  size_t start_, stop_;
};

class ReplaceDecoder : public Decoder {
 public:
  ReplaceDecoder(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  class Stage : public WholeTokenStage {
   public:
    explicit Stage(const ReplaceDecoder& owner) : owner_(owner) {}
    void token(std::string text, const Sink& sink) override {
      owner_.spell(text);
      sink({std::move(text)});
    }

   private:
    const ReplaceDecoder& owner_;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>(*this);
  }
  void spell(std::string& piece) const override {
    std::vector<MatchSpan> matches;
    pattern_.find_all(piece, matches);
    if (matches.empty()) return;
    std::string out;
    size_t last = 0;
    for (const MatchSpan& match : matches) {
      out.append(piece, last, match.begin - last);
      out += content_;
      last = match.end;
    }
    out.append(piece, last);
    piece = std::move(out);
  }

 private:
  Regex pattern_;
  std::string content_;
};

class MetaspaceDecoder : public Decoder {
 public:
  MetaspaceDecoder(char32_t mark, bool drops_first) : drops_first_(drops_first) {
    unicode::append(mark_, mark);
  }
  class Stage : public DecoderStage {
   public:
    explicit Stage(const MetaspaceDecoder& owner) : owner_(owner) {}
    void push(Fragment fragment, const Sink& sink) override {
      if (fragment.begins) ++tokens_;
      const bool drop = tokens_ == 1 && owner_.drops_first_;
      replace_all(fragment.text, owner_.mark_, drop ? "" : " ");
      sink(std::move(fragment));
    }
    void finish(const Sink&) override {}

   private:
    const MetaspaceDecoder& owner_;
    size_t tokens_ = 0;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>(*this);
  }
  void spell(std::string& piece) const override { replace_all(piece, mark_, " "); }

 private:
  std::string mark_;
  bool drops_first_;
};

class WordPieceDecoder : public Decoder {
 public:
  WordPieceDecoder(std::string prefix, bool cleanup)
      : prefix_(std::move(prefix)), cleanup_(cleanup) {}
  class Stage : public WholeTokenStage {
   public:
    explicit Stage(const WordPieceDecoder& owner) : owner_(owner) {}
    void token(std::string text, const Sink& sink) override {
      if (!first_) owner_.join(text);
      if (owner_.cleanup_) clean_up(text);
      first_ = false;
      sink({std::move(text)});
    }

   private:
    const WordPieceDecoder& owner_;
    bool first_ = true;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>(*this);
  }
  void spell(std::string& piece) const override {
    join(piece);
    if (cleanup_) clean_up(piece);
  }

 private:
  void join(std::string& piece) const {
    if (piece.starts_with(prefix_)) {
      piece.erase(0, prefix_.size());
    } else {
      piece.insert(0, 1, ' ');
    }
  }
  // The reference's list, in its order.
  static void clean_up(std::string& text) {
    static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kRules) replace_all(text, from, to);
  }

  std::string prefix_;
  bool cleanup_;
};

class BpeDecoder : public Decoder {
 public:
  explicit BpeDecoder(std::string suffix) : suffix_(std::move(suffix)) {}
  // The suffix of a token is a space, but that of the last token is nothing: what follows the first
  // suffix waits for the next token.
  class Stage : public WholeTokenStage {
   public:
    explicit Stage(const BpeDecoder& owner) : owner_(owner) {}
    void token(std::string text, const Sink& sink) override {
      release(" ", sink);
      const size_t suffix = text.find(owner_.suffix_);
      waits_ = suffix != std::string::npos;
      if (waits_) held_ = text.substr(suffix);
      sink({text.substr(0, suffix), true, !waits_});
    }
    void finish(const Sink& sink) override { release("", sink); }

   private:
    void release(std::string_view space, const Sink& sink) {
      if (!waits_) return;
      replace_all(held_, owner_.suffix_, space);
      sink({std::exchange(held_, {}), false, true});
      waits_ = false;
    }
    const BpeDecoder& owner_;
    bool waits_ = false;
    std::string held_;
  };
  std::unique_ptr<DecoderStage> start(DecodeMode) const override {
    return std::make_unique<Stage>(*this);
  }
  void spell(std::string& piece) const override { replace_all(piece, suffix_, " "); }

 private:
  std::string suffix_;
};

}  // namespace

std::unique_ptr<Decoder> make_join_decoder() { return std::make_unique<JoinDecoder>(); }
std::unique_ptr<Decoder> make_byte_level_decoder() { return std::make_unique<ByteLevelDecoder>(); }
std::unique_ptr<Decoder> make_byte_fallback_decoder() {
  return std::make_unique<ByteFallbackDecoder>();
}
std::unique_ptr<Decoder> make_fuse_decoder() { return std::make_unique<FuseDecoder>(); }
std::unique_ptr<Decoder> make_strip_decoder(char32_t content, size_t start, size_t stop) {
  return std::make_unique<StripDecoder>(content, start, stop);
}
std::unique_ptr<Decoder> make_replace_decoder(Regex pattern, std::string content) {
  return std::make_unique<ReplaceDecoder>(std::move(pattern), std::move(content));
}
std::unique_ptr<Decoder> make_metaspace_decoder(char32_t mark, bool drops_first) {
  return std::make_unique<MetaspaceDecoder>(mark, drops_first);
}
std::unique_ptr<Decoder> make_wordpiece_decoder(std::string prefix, bool cleanup) {
  return std::make_unique<WordPieceDecoder>(std::move(prefix), cleanup);
}
std::unique_ptr<Decoder> make_bpe_decoder(std::string suffix) {
  return std::make_unique<BpeDecoder>(std::move(suffix));
}

}  // namespace saccade
