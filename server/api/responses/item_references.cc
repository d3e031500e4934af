#include "server/api/responses/item_references.h"

#include "server/api/fields/field.h"

namespace saccade::api {
namespace {

// A few references could fill the memory with one large item.
constexpr size_t kMaxReferredBytes = size_t{64} << 20;

// The id that an item refers to; null: it refers to none. Beside its id, everything is optional.
const std::string* referred_id(const Json& item) {
  if (!item.is_object()) return nullptr;
  const auto id = item.find("id"), type = item.find("type");
  if (id == item.end() || !id->is_string()) return nullptr;
  const bool typeless = type == item.end() || type->is_null();
  const bool refers =
      typeless ? !item.contains("role") && !item.contains("content") : *type == "item_reference";
  return refers ? &id->get_ref<const std::string&>() : nullptr;
}

}  // namespace

Status put_referred_items(ResponseStore& store, int owner, Json& body) {
  const auto input = body.find("input");
  if (input == body.end() || !input->is_array()) return {};
  size_t bytes = 0;
  for (size_t i = 0; i < input->size(); ++i) {
    const std::string* id = referred_id((*input)[i]);
    if (id == nullptr) continue;
    const std::string path = element_path("input", i) + ".id";
    Result<Json> item = store.find_item(*id, owner);
    if (!item) return item.status().with_param(path);
    bytes += memory_of(*item);
    if (bytes > kMaxReferredBytes) {
      return invalid_argument("the items that the input refers to hold more than " +
                                  std::to_string(kMaxReferredBytes) + " bytes",
                              path);
    }
    (*input)[i] = *std::move(item);
  }
  return {};
}

}  // namespace saccade::api
