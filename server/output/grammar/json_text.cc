#include "server/output/grammar/json_text.h"

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "server/output/grammar/numbers.h"
#include "server/output/grammar/utf8.h"
#include "server/python_literal.h"

namespace saccade::grammar {
namespace {

const CharSet kHex = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};

// Escaped code units outside of the surrogates: a lone one is no text.
ExprPtr unicode_escape() {
  const ExprPtr below_d = chars({{'0', '9'}, {'A', 'C'}, {'E', 'F'}, {'a', 'c'}, {'e', 'f'}});
  return sequence({literal("u"),
                   choice({sequence({below_d, chars(kHex)}),
                           sequence({chars({{'D', 'D'}, {'d', 'd'}}), chars({{'0', '7'}})})}),
                   repeat(chars(kHex), 2, 2)});
}

// The names' characters as a tree; `end` marks where a name is complete.
struct Node {
  std::map<char32_t, std::unique_ptr<Node>> children;
  bool end = false;
};

void insert(Node& root, const std::string& name) {
  Node* node = &root;
  for (size_t i = 0; i < name.size();) {
    const auto c = take_code_point(name, i);
    if (!c) throw GrammarError{"", "a member's name is ill-formed UTF-8"};
    std::unique_ptr<Node>& child = node->children[*c];
    if (!child) child = std::make_unique<Node>();
    node = child.get();
  }
  node->end = true;
}

// What may follow in a text that has come to `node` and is none of the names. Only characters that
// stand unescaped are used, so that no escape spells a name.
ExprPtr not_a_name(const Node& node) {
  const ExprPtr rest = repeat(chars(json_unescaped()), 0, kUnbounded);
  CharSet known;
  std::vector<ExprPtr> options;
  for (const auto& [c, child] : node.children) {
    known.push_back({c, c});
    const CharSet one = intersection({{c, c}}, json_unescaped());
    if (!one.empty()) options.push_back(sequence({chars(one), not_a_name(*child)}));
  }
  options.push_back(sequence({chars(intersection(complement(known), json_unescaped())), rest}));
  if (!node.end) options.push_back(literal(""));
  return choice(std::move(options));
}

}  // namespace

ExprPtr JsonText::value(const nlohmann::ordered_json& value) const {
  return literal(constants_ == Constants::kPython ? python_literal(value) : value.dump());
}

ExprPtr JsonText::space() {
  if (space_ < 0) {
    space_ = grammar_.add_rule();
    grammar_.define(space_, repeat(chars({{'\t', '\n'}, {' ', ' '}}), 0, kMaxSpace));
  }
  return rule(space_);
}

ExprPtr JsonText::string_character() {
  if (character_ < 0) {
    character_ = grammar_.add_rule();
    const CharSet short_escapes = {{'"', '"'}, {'/', '/'}, {'\\', '\\'}, {'b', 'b'},
                                   {'f', 'f'}, {'n', 'n'}, {'r', 'r'},   {'t', 't'}};
    grammar_.define(
        character_,
        choice({chars(json_unescaped()),
                sequence({literal("\\"), choice({chars(short_escapes), unicode_escape()})})}));
  }
  return rule(character_);
}

ExprPtr JsonText::any_string() {
  return sequence({literal("\""), repeat(string_character(), 0, kUnbounded), literal("\"")});
}

ExprPtr JsonText::string_except(const std::vector<std::string>& names) {
  if (names.empty()) return any_string();
  Node root;
  for (const std::string& name : names) insert(root, name);
  return sequence({literal("\""), not_a_name(root), literal("\"")});
}

ExprPtr JsonText::comma() { return sequence({literal(","), space()}); }

ExprPtr JsonText::member(ExprPtr key, ExprPtr value) {
  return sequence({std::move(key), literal(":"), space(), std::move(value)});
}

ExprPtr JsonText::bracketed(const char* open, ExprPtr inside, const char* close) {
  return sequence({literal(open), space(), std::move(inside), space(), literal(close)});
}

ExprPtr JsonText::object(ExprPtr inside) { return bracketed("{", std::move(inside), "}"); }
ExprPtr JsonText::array(ExprPtr inside) { return bracketed("[", std::move(inside), "]"); }

ExprPtr separated(JsonText& json, const ExprPtr& part, int min, int max) {
  if (max == 0) return literal("");
  ExprPtr some = sequence({part, repeat(sequence({json.comma(), part}), min > 0 ? min - 1 : 0,
                                        max == kUnbounded ? kUnbounded : max - 1)});
  return min > 0 ? some : optional(std::move(some));
}

ExprPtr JsonText::any_object() {
  return object(separated(*this, member(any_string(), any_value()), 0, kUnbounded));
}

ExprPtr JsonText::any_array() { return array(separated(*this, any_value(), 0, kUnbounded)); }

ExprPtr JsonText::any_value() {
  if (value_ < 0) {
    value_ = grammar_.add_rule();
    grammar_.define(value_, choice({any_object(), any_array(), any_string(), any_number(),
                                    value(true), value(false), value(nullptr)}));
  }
  return rule(value_);
}

}  // namespace saccade::grammar
