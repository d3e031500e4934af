#pragma once

#include <optional>
#include <string>

#include "server/output/grammar/json_text.h"
#include "server/output/grammar/schema_merge.h"

namespace saccade::grammar {

// A keyword that counts: an integer from 0 to kMaxCount.
inline constexpr int kMaxCount = 100'000;
std::optional<int> count_of(const Json& schema, const char* keyword, const std::string& path);

// A string with the schema's minLength, maxLength, pattern and format.
ExprPtr string_value(JsonText& json, const Json& schema, const std::string& path);

// A number (or integer) with the schema's bounds and multipleOf.
ExprPtr number_value(Grammar& grammar, const Json& schema, bool integer, const std::string& path);

// A regular expression for the strings of a JSON Schema `format`; empty for an unknown one. They
// take no more than the format's RFC does, and leave out its rarities (IPv6 with an IPv4 tail,
// quoted mailboxes, leap seconds).
std::string format_pattern(const std::string& format);

}  // namespace saccade::grammar
