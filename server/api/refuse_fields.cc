#include "server/api/refuse_fields.h"

namespace saccade::api {

void refuse_fields(Fields& fields, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const Json* value = fields.ok() ? fields.find(name) : nullptr;
    const bool asks_nothing = value == nullptr || (value->is_array() && value->empty());
    if (!asks_nothing) {
      fields.fail(name, std::string(name) + " is not supported");
    }
  }
}

void refuse_prewarm(Fields& fields) {
  const Json* options = fields.ok() ? fields.find("prompt_cache_options") : nullptr;
  if (options == nullptr || options->value("prewarm", Json()) != true) return;
  fields.fail("prompt_cache_options.prewarm", "prompt_cache_options.prewarm is not supported");
}

}  // namespace saccade::api
