// Renders chat templates for the tests against Python's jinja2. Reads a JSON document from stdin:
//   {"now": unix time, "templates": [...], "cases": [{"template": index, "globals": {...}}, ...]}
// and writes one JSON array: {"output": text} or {"error": message} per case. The globals
// "messages" and "tools" count as the user's; "segments": true adds the marked pieces.
// With --time N it renders every case N times and tells the microseconds of one rendering.

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/prompt/template/chat_template.h"

namespace {

using nlohmann::ordered_json;
using saccade::ChatTemplate;
using saccade::TemplateValue;

std::map<std::string, TemplateValue> read_globals(const ordered_json& json) {
  std::map<std::string, TemplateValue> globals;
  for (const auto& [name, value] : json.items()) {
    const bool from_user = name == "messages" || name == "tools";
    globals.emplace(name, TemplateValue::from_json(value, from_user));
  }
  return globals;
}

ordered_json render_case(const saccade::Result<ChatTemplate>& parsed, const ordered_json& test,
                         std::time_t now, int repeat) {
  if (!parsed.ok()) return {{"error", parsed.status().message()}};
  const auto globals = read_globals(test.at("globals"));
  const auto start = std::chrono::steady_clock::now();
  auto rendered = parsed->render(globals, {}, now);
  for (int i = 1; i < repeat; ++i) rendered = parsed->render(globals, {}, now);
  const std::chrono::duration<double, std::micro> elapsed =
      std::chrono::steady_clock::now() - start;
  if (!rendered.ok()) return {{"error", rendered.status().message()}};
  std::string output;
  ordered_json segments = ordered_json::array();
  for (const auto& segment : *rendered) {
    output += segment.text;
    segments.push_back({segment.text, segment.from_user});
  }
  ordered_json out = {{"output", output}};
  if (test.value("segments", false)) out["segments"] = segments;
  if (repeat > 1) out["microseconds"] = elapsed.count() / repeat;
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const int repeat = argc == 3 && std::string(argv[1]) == "--time" ? std::atoi(argv[2]) : 1;
  const std::string input(std::istreambuf_iterator<char>(std::cin), {});
  const ordered_json document = ordered_json::parse(input);
  const std::time_t now = document.value("now", std::time_t{0});
  std::vector<saccade::Result<ChatTemplate>> templates;
  for (const auto& source : document.at("templates")) {
    templates.push_back(ChatTemplate::parse(source.get<std::string>()));
  }
  ordered_json results = ordered_json::array();
  for (const auto& test : document.at("cases")) {
    results.push_back(
        render_case(templates.at(test.at("template").get<size_t>()), test, now, repeat));
  }
  std::cout << results.dump() << "\n";
  return 0;
}
