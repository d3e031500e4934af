#include "engine/models/adapter.h"

#include "engine/models/adaption_prompt.h"
#include "engine/models/lora.h"
#include "engine/weights/json.h"

namespace saccade {

std::vector<Rename> adapter_renames(const std::vector<Rename>& base) {
  const std::string prefix(kPeftPrefix);
  std::vector<Rename> renames;
  for (const Rename& rule : base) renames.push_back({prefix + rule.from, rule.to});
  renames.push_back({prefix, ""});
  return renames;
}

std::unique_ptr<Adapter> Adapter::open(const std::filesystem::path& folder,
                                       const std::vector<Rename>& renames, at::ScalarType dtype,
                                       at::Device device) {
  const JsonFile file(folder / "adapter_config.json", folder.string() + "/adapter_config.json");
  const JsonView config = file.root();
  const std::string type = config.string("peft_type", "LORA");
  if (type == "LORA") {
    return std::make_unique<LoraAdapter>(config, folder, renames, dtype, device);
  }
  if (type == "ADAPTION_PROMPT") {
    return std::make_unique<AdaptionPrompt>(config, folder, renames, dtype, device);
  }
  config.fail("peft_type", printable(type) + " is not supported (known: LORA, ADAPTION_PROMPT)");
}

}  // namespace saccade
