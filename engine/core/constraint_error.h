#pragma once

#include <stdexcept>

namespace saccade {

// What a TokenConstraint throws when the request asks for what cannot be followed: the
// request's own fault (kInvalidArgument). The message is told to the client.
class ConstraintError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace saccade
