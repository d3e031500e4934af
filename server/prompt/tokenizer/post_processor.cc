#include "server/prompt/tokenizer/post_processor.h"

#include <utility>

#include "server/prompt/tokenizer/vocabulary.h"

namespace saccade {
namespace {

constexpr size_t kMaxParts = 1024;

TokenId read_id(const JsonNode& node) { return static_cast<TokenId>(node.integer(0, kMaxTokenId)); }

// {"SpecialToken": {"id": "<s>", "type_id": 0}} or {"Sequence": {"id": "A", "type_id": 0}}
PostProcessor::Part read_part(const JsonNode& piece, const JsonNode& special_tokens) {
  if (const auto sequence = piece.find("Sequence")) {
    const JsonNode id = sequence->at("id");
    if (id.string() != "A") id.fail("a single text has only the sequence A");
    return {true, {}};
  }
  const JsonNode id = piece.at("SpecialToken").at("id");
  PostProcessor::Part part;
  for (const JsonNode& token : special_tokens.at(id.string().c_str()).at("ids").items()) {
    part.ids.push_back(read_id(token));
  }
  return part;
}

PostProcessor::Template read_template(const JsonNode& node) {
  const JsonNode single = node.at("single");
  const JsonNode special_tokens = node.at("special_tokens");
  if (single.size() > kMaxParts) single.fail("too many pieces");
  PostProcessor::Template parts;
  for (const JsonNode& piece : single.items()) parts.push_back(read_part(piece, special_tokens));
  return parts;
}

// ["[SEP]", 102]
PostProcessor::Part read_token(const JsonNode& node) { return {false, {read_id(node.item(1))}}; }

}  // namespace

PostProcessor::PostProcessor(const JsonNode& node) { read(node, 0); }

PostProcessor::PostProcessor(std::vector<TokenId> bos, std::vector<TokenId> eos) {
  steps_.push_back({{false, std::move(bos)}, {true, {}}, {false, std::move(eos)}});
}

void PostProcessor::read(const JsonNode& node, int depth) {
  node.check_depth(depth);
  const std::string type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("processors").items()) read(part, depth + 1);
  } else if (type == "TemplateProcessing") {
    steps_.push_back(read_template(node));
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    steps_.push_back({read_token(node.at("cls")), {true, {}}, read_token(node.at("sep"))});
  } else if (type != "ByteLevel") {  // that one only moves offsets
    node.at("type").fail("the post-processor '" + type + "' is not supported");
  }
}

std::vector<TokenId> PostProcessor::apply(std::vector<TokenId> ids) const {
  for (const Template& step : steps_) {
    std::vector<TokenId> out;
    out.reserve(ids.size() + step.size());
    for (const Part& part : step) {
      const std::vector<TokenId>& source = part.is_text ? ids : part.ids;
      out.insert(out.end(), source.begin(), source.end());
    }
    ids = std::move(out);
  }
  return ids;
}

size_t PostProcessor::added_count() const {
  size_t count = 0;
  for (const Template& step : steps_) {
    for (const Part& part : step) count += part.ids.size();
  }
  return count;
}

}  // namespace saccade
