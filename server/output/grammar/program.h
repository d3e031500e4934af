#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/status.h"
#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// One step of a program. `next` is the instruction that follows.
struct Instruction {
  enum class Op : uint8_t {
    kBytes,   // one byte of [low, high]
    kSplit,   // any of targets[argument] ... targets[next - 1]
    kCall,    // the rule `argument`, then next
    kReturn,  // to the caller; at the top: the text is complete
    kEnter,   // the counted repetition `argument` begins, next being its body
    kLoop,    // one more time around; next is behind the repetition
  };
  Op op = Op::kReturn;
  uint8_t low = 0, high = 0;
  int argument = 0;
  int next = 0;
};

// A counted repetition, {min,max}, other than those that need no counter.
struct Repetition {
  int min = 0;
  int max = 0;  // or kUnbounded
  int body = 0;
  bool consumes = true;  // every time around takes at least one byte
};

// A grammar as a recursive transition network over the bytes of UTF-8. Immutable.
struct Program {
  std::vector<Instruction> code;
  std::vector<int> targets;  // of splits
  std::vector<int> rules;    // where each begins; -1: matches nothing
  std::vector<Repetition> repetitions;
  int start = 0;
  // Bytes that no instruction tells apart have one class.
  std::array<uint8_t, 256> byte_class{};
  std::vector<uint8_t> class_byte;  // one byte of each class
};

// Alternatives that no finite text can match (an optional member of a type that must contain
// itself) are left out. InvalidArgument: nothing matches at all, a rule that begins with itself, or
// a program of more than kMaxInstructions.
inline constexpr size_t kMaxInstructions = 500'000;
Result<Program> compile(const Grammar& grammar);

}  // namespace saccade::grammar
