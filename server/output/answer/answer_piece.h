#pragma once

#include <string>
#include <vector>

namespace saccade {

// What one stretch of an answer's text is, once it is certain.
struct AnswerPiece {
  enum class Kind {
    kContent,
    kReasoning,
    kCall,       // a tool call begins: `text` is the tool's name
    kArguments,  // more of the JSON text of call `call`'s arguments
  };
  Kind kind = Kind::kContent;
  std::string text;
  int call = 0;  // calls are numbered from 0
};

using AnswerPieces = std::vector<AnswerPiece>;

}  // namespace saccade
