#pragma once

#include <optional>
#include <string>

#include "server/prompt/template/value.h"

namespace saccade::jinja {

// json.dumps as transformers' tojson filter calls it.
struct JsonStyle {
  std::optional<MarkedText> indent;  // per level; nothing: one line
  MarkedText item_separator{", ", false};
  MarkedText key_separator{": ", false};
  bool ensure_ascii = false;
  bool sort_keys = false;
};

MarkedText dump_json(Interpreter& interpreter, const Value& value, const JsonStyle& style);

}  // namespace saccade::jinja
