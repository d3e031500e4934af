#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// The pieces that JSON texts are made of, as rules of one grammar. White space is allowed where
// writers put it: after a bracket, a comma and a colon, and before a closing bracket; at most
// kMaxSpace characters, because a model that is lost writes white space without end.
inline constexpr int kMaxSpace = 20;

// How true, false and null are spelled; all else of a JSON text is a Python literal as well.
enum class Constants { kJson, kPython };

class JsonText {
 public:
  explicit JsonText(Grammar& grammar, Constants constants = Constants::kJson)
      : grammar_(grammar), constants_(constants) {}

  // This very value, without white space.
  ExprPtr value(const nlohmann::ordered_json& value) const;

  ExprPtr space();
  // One character of a string as it stands between the quotes, escaped where it has to be.
  ExprPtr string_character();
  ExprPtr any_value();
  ExprPtr any_object();
  ExprPtr any_array();
  ExprPtr any_string();
  // A string that is none of `names`, for members beside the declared ones.
  ExprPtr string_except(const std::vector<std::string>& names);

  // "{" members "}" and "[" items "]" around what `inside` matches.
  ExprPtr object(ExprPtr inside);
  ExprPtr array(ExprPtr inside);
  ExprPtr comma();
  // key ":" value, where `key` matches the quotes too.
  ExprPtr member(ExprPtr key, ExprPtr value);

 private:
  ExprPtr bracketed(const char* open, ExprPtr inside, const char* close);

  Grammar& grammar_;
  const Constants constants_;
  int space_ = -1, character_ = -1, value_ = -1;  // rules, made when first asked for
};

// `first`, or `min` ... `max` (kUnbounded) of `part` with commas between.
ExprPtr separated(JsonText& json, const ExprPtr& part, int min, int max);

}  // namespace saccade::grammar
