#pragma once

// The names a template can call: filters, tests, methods and global functions.

#include <string_view>

#include "server/prompt/template/ast.h"

namespace saccade::jinja {

// Null when there is none of that name.
Filter find_filter(std::string_view name);
Test find_test(std::string_view name);
// range, dict, namespace, ...; undefined when there is none of that name.
Value find_global(std::string_view name);

struct FilterEntry {
  std::string_view name;
  Filter function;
};
// Parts of the table of filters, one per source file; each ends with an empty name.
extern const FilterEntry kTextFilters[];
extern const FilterEntry kSequenceFilters[];
extern const FilterEntry kSelectionFilters[];

}  // namespace saccade::jinja
