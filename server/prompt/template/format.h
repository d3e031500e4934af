#pragma once

// Python's two ways to format text: "..." % values and "...".format(...).

#include "server/prompt/template/value.h"

namespace saccade::jinja {

// `values`: a tuple, a dict for %(name)s, or one value.
Value percent_format(Interpreter& interpreter, const Value& format, const Value& values);
Value str_format(Interpreter& interpreter, const Value& format, const Arguments& arguments);

}  // namespace saccade::jinja
