#pragma once

#include <string>
#include <string_view>

// Small texts of HTTP heads.
namespace saccade::http {

std::string random_id();

// Whether a client's X-Request-Id may be used as it is.
bool is_plain_id(std::string_view id);

// Control characters but tabs.
bool has_control(std::string_view text);

bool equals_ignoring_case(std::string_view a, std::string_view b);

std::string percent_decoded(std::string_view text);

// Time does not depend on where the texts differ. The length of the key is no secret.
bool same_secret(std::string_view a, std::string_view b);

const char* reason_phrase(int status);

}  // namespace saccade::http
