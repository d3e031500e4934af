#include "server/api/service/ignored_fields.h"

#include <nlohmann/json.hpp>

#include "server/api/service/folder_files.h"

namespace saccade::api {
namespace {

struct IgnoredField {
  const char* name;
  double idle;  // the number that asks for nothing
};
constexpr IgnoredField kIgnoredFields[] = {
    {"num_beams", 1},  {"guidance_scale", 1}, {"typical_p", 1},     {"epsilon_cutoff", 0},
    {"eta_cutoff", 0}, {"top_h", 1},          {"penalty_alpha", 0}, {"watermarking_config", 0}};

}  // namespace

std::vector<std::string> ignored_generation_fields(const std::filesystem::path& folder) {
  const Json config = read_json(folder / "generation_config.json");
  std::vector<std::string> names;
  for (const IgnoredField& field : kIgnoredFields) {
    const auto value = config.find(field.name);
    if (value == config.end() || value->empty()) continue;  // null is empty
    if (value->is_number() && value->get<double>() == field.idle) continue;
    names.emplace_back(field.name);
  }
  return names;
}

}  // namespace saccade::api
