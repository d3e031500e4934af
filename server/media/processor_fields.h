#pragma once

#include <array>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/core/media.h"
#include "server/media/resample.h"

namespace saccade {

// The fields of one processor file (or of the object nested in one). Absent and null both mean the
// class's default. Everything wrong is a LoadError that names the file and the field.
class ProcessorFields {
 public:
  // `json` must outlive this.
  ProcessorFields(std::string where, const nlohmann::json& json)
      : where_(std::move(where)), json_(json) {}

  [[noreturn]] void fail(const std::string& field, const std::string& problem) const;

  // The field, or nothing when it is absent or null.
  const nlohmann::json* find(const char* field) const;
  static bool has_keys(const nlohmann::json& json, std::initializer_list<const char*> keys);

  // The fields of an object at hand; messages name them "FIELD.NAME".
  ProcessorFields nested(const std::string& field, const nlohmann::json& json) const;

  void read_bool(const char* field, bool* value) const;
  void read_number(const char* field, double* value) const;
  void read_int(const char* field, int min, int max, int* value) const;
  // A number for all channels, or a list of three.
  void read_channels(const char* field, std::array<double, 3>* values) const;
  void read_filter(const char* field, Filter* filter) const;

  // Values at hand; `field` is their path, for messages.
  double number(const std::string& field, const nlohmann::json& json) const;
  int side(const std::string& field, const nlohmann::json& json) const;  // pixels
  // {"height", "width"} or a list [height, width]; false when it is neither.
  bool read_exact(const std::string& field, const nlohmann::json& json, ImageSize* size) const;

 private:
  std::string where_;   // file, and object within it
  std::string parent_;  // "size." where these fields are nested in another
  const nlohmann::json& json_;
};

}  // namespace saccade
