#include "server/api/fields/json.h"

#include <vector>

#include "server/json_limits.h"

namespace saccade::api {
namespace {

constexpr int kNumberTooLarge = 406;

// Whether something is wrong inside of a string, number or literal, not between them: "... while
// parsing value - invalid string: ...", and not "- unexpected '}'".
bool is_of_a_value(const nlohmann::detail::exception& error) {
  const std::string_view what = error.what();
  const size_t reason = what.find(" - ");
  return error.id == kNumberTooLarge ||
         (reason != what.npos && what.substr(reason + 3).starts_with("invalid"));
}

// Reads a text that is known to be wrong up to the mistake, to tell which value it stands in.
class MistakeFinder : public Json::json_sax_t {
 public:
  // Of the value; empty: the mistake is not inside of one, or the path too long to be of use.
  const std::string& path() const { return path_; }

  bool null() override { return end_value(); }
  bool boolean(bool) override { return end_value(); }
  bool number_integer(number_integer_t) override { return end_value(); }
  bool number_unsigned(number_unsigned_t) override { return end_value(); }
  bool number_float(number_float_t, const string_t&) override { return end_value(); }
  bool string(string_t&) override { return end_value(); }
  bool binary(binary_t&) override { return end_value(); }
  bool start_object(size_t) override { return open({.array = false}); }
  bool start_array(size_t) override { return open({.array = true}); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    open_.back().key = std::move(name);
    open_.back().in_value = true;
    return true;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    constexpr size_t kLongestPath = 256;
    const bool in_value = !open_.empty() && (open_.back().array || open_.back().in_value);
    if (!in_value || !is_of_a_value(error)) return false;
    for (const Level& level : open_) {
      if (level.array) {
        path_ += "[" + std::to_string(level.index) + "]";
      } else {
        path_ += (path_.empty() ? "" : ".") + level.key;
      }
      if (path_.size() > kLongestPath) {
        path_.clear();
        break;
      }
    }
    return false;
  }

 private:
  // An array or object that is not closed yet.
  struct Level {
    bool array = false;
    size_t index = 0;       // of the element that comes or is being read
    std::string key = {};   // of the member that was begun last
    bool in_value = false;  // its value is not read yet
  };

  bool open(Level level) {
    open_.push_back(std::move(level));
    return true;
  }
  bool close() {
    open_.pop_back();
    return end_value();
  }
  bool end_value() {
    if (open_.empty()) return true;
    ++open_.back().index;
    open_.back().in_value = false;
    return true;
  }

  std::vector<Level> open_;
  std::string path_;
};

// What a client reads of `error`, named by the field it stands in.
Status mistake(std::string_view body, const Json::exception& error) {
  MistakeFinder finder;
  (void)Json::sax_parse(body, &finder);
  const std::string& path = finder.path();
  const std::string where = path.empty() ? "the body" : path;
  const std::string_view what = error.what();
  if (error.id == kNumberTooLarge) {
    return invalid_argument(where + " holds a number that does not fit", path);
  }
  const auto* parse_error = dynamic_cast<const Json::parse_error*>(&error);
  const std::string byte =
      parse_error == nullptr ? "" : " (byte " + std::to_string(parse_error->byte) + ")";
  const char* wrong = what.find("surrogate U+") != what.npos ? " holds half of a surrogate pair"
                      : what.find("ill-formed UTF-8") != what.npos
                          ? " holds bytes that are not UTF-8"
                          : " is not valid JSON";
  return invalid_argument(where + wrong + byte, path);
}

}  // namespace

Result<Json> parse_body(std::string_view body) {
  if (const Status status = check_json_size(body, "the body"); !status.ok()) return status;
  try {
    Json value = Json::parse(body);
    if (!value.is_object()) return invalid_argument("the body must be a JSON object");
    return value;
  } catch (const Json::exception& error) {
    return mistake(body, error);
  }
}

size_t memory_of(const Json& value) {
  size_t bytes = sizeof(Json);
  if (value.is_string()) bytes += value.get_ref<const std::string&>().size();
  if (!value.is_structured()) return bytes;
  for (auto member = value.begin(); member != value.end(); ++member) {
    if (value.is_object()) bytes += sizeof(std::string) + member.key().size();
    bytes += memory_of(*member);
  }
  return bytes;
}

std::string to_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace saccade::api
