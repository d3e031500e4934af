#include "server/prompt/tokenizer/decoder.h"

#include <utility>

#include "server/prompt/tokenizer/decoder_stages.h"

namespace saccade {
namespace {

std::unique_ptr<Decoder> read_replace_decoder(const JsonNode& node) {
  const JsonNode pattern = node.at("pattern");
  const auto text = pattern.find("String");
  const JsonNode value = text ? *text : pattern.at("Regex");
  const std::string content = node.at("content").string();
  return make_replace_decoder(
      text ? Regex::literal(value.string(), value.where()) : Regex(value.string(), value.where()),
      content);
}

std::unique_ptr<Decoder> make_strip(const JsonNode& node) {
  constexpr int64_t kMost = 1 << 20;
  return make_strip_decoder(node.at("content").character(),
                            static_cast<size_t>(node.at("start").integer(0, kMost)),
                            static_cast<size_t>(node.at("stop").integer(0, kMost)));
}

void add_decoders(const JsonNode& node, int depth, std::vector<std::unique_ptr<Decoder>>& out) {
  node.check_depth(depth);
  const std::string type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("decoders").items()) add_decoders(part, depth + 1, out);
  } else if (type == "ByteLevel") {
    out.push_back(make_byte_level_decoder());
  } else if (type == "ByteFallback") {
    out.push_back(make_byte_fallback_decoder());
  } else if (type == "Fuse") {
    out.push_back(make_fuse_decoder());
  } else if (type == "Strip") {
    out.push_back(make_strip(node));
  } else if (type == "Replace") {
    out.push_back(read_replace_decoder(node));
  } else if (type == "Metaspace") {
    const bool never = node.string_or("prepend_scheme", "always") == "never" ||
                       !node.boolean_or("add_prefix_space", true);
    out.push_back(make_metaspace_decoder(node.at("replacement").character(), !never));
  } else if (type == "WordPiece") {
    out.push_back(make_wordpiece_decoder(node.at("prefix").string(), node.at("cleanup").boolean()));
  } else if (type == "BPEDecoder") {
    const JsonNode suffix = node.at("suffix");
    if (suffix.string().empty()) suffix.fail("the suffix is empty");
    out.push_back(make_bpe_decoder(suffix.string()));
  } else {
    node.at("type").fail("the decoder '" + type + "' is not supported");
  }
}

}  // namespace

DecoderChain::DecoderChain() { decoders_.push_back(make_join_decoder()); }

DecoderChain::DecoderChain(const JsonNode& node) { add_decoders(node, 0, decoders_); }

DecoderChain::Run::Run(const DecoderChain& chain, DecodeMode mode) {
  for (const auto& decoder : chain.decoders_) stages_.push_back(decoder->start(mode));
}

void DecoderChain::Run::pass(size_t stage, Fragment fragment, std::string& out) {
  if (stage == stages_.size()) {
    out += fragment.text;
    return;
  }
  stages_[stage]->push(std::move(fragment),
                       [&](Fragment next) { pass(stage + 1, std::move(next), out); });
}

void DecoderChain::Run::push(std::string_view piece, std::string& out) {
  pass(0, Fragment{std::string(piece)}, out);
}

void DecoderChain::Run::finish(std::string& out) {
  for (size_t stage = 0; stage < stages_.size(); ++stage) {
    stages_[stage]->finish([&](Fragment next) { pass(stage + 1, std::move(next), out); });
  }
}

std::string DecoderChain::spell(std::string_view piece) const {
  std::string text(piece);
  for (const auto& decoder : decoders_) decoder->spell(text);
  return text;
}

}  // namespace saccade
