#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/output/answer/tool_call_parser.h"

// One parser for each way of writing calls; only tool_call_parser.cc asks for them.
namespace saccade {

std::unique_ptr<ToolCallParser> make_marked_call_parser(ToolStyle style);
std::unique_ptr<ToolCallParser> make_bare_call_parser(std::vector<std::string> names);
std::unique_ptr<ToolCallParser> make_pythonic_call_parser(std::vector<std::string> names);
std::unique_ptr<ToolCallParser> make_react_call_parser();

}  // namespace saccade
