#include "server/output/grammar/program.h"

#include <algorithm>
#include <stdexcept>

#include "server/output/grammar/expr_analysis.h"
#include "server/output/grammar/utf8.h"

namespace saccade::grammar {
namespace {

using Op = Instruction::Op;

struct TooLarge : std::runtime_error {
  TooLarge() : std::runtime_error("its grammar is too large") {}
};

// Writes instructions from the back: every expression knows what follows it.
class Emitter {
 public:
  explicit Emitter(const Grammar& grammar)
      : rules_(grammar.rules()), productive_(rules_), nullable_(rules_) {}

  const Productive& productive() const { return productive_; }
  const Nullable& nullable() const { return nullable_; }

  Program run(const Expr& root) {
    const int end = add({Op::kReturn, 0, 0, 0, 0});
    program_.rules.assign(rules_.size(), -1);
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (productive_.of_rule(static_cast<int>(i))) program_.rules[i] = emit(*rules_[i], end);
    }
    program_.start = emit(root, end);
    find_byte_classes();
    return std::move(program_);
  }

 private:
  int add(Instruction instruction) {
    if (program_.code.size() >= kMaxInstructions) throw TooLarge();
    program_.code.push_back(instruction);
    return static_cast<int>(program_.code.size()) - 1;
  }

  int emit(const Expr& expr, int next) {
    switch (expr.kind) {
      case Expr::Kind::kLiteral:
        for (auto c = expr.text.rbegin(); c != expr.text.rend(); ++c) {
          const auto byte = static_cast<uint8_t>(*c);
          next = add({Op::kBytes, byte, byte, 0, next});
        }
        return next;
      case Expr::Kind::kChars:
        return emit_chars(expr.chars, next);
      case Expr::Kind::kSequence:
        for (auto part = expr.parts.rbegin(); part != expr.parts.rend(); ++part) {
          next = emit(**part, next);
        }
        return next;
      case Expr::Kind::kChoice:
        return emit_choice(expr.parts, next);
      case Expr::Kind::kRepeat:
        return emit_repeat(expr, next);
      case Expr::Kind::kRule:
        return add({Op::kCall, 0, 0, expr.rule, next});
    }
    return next;
  }

  int split(const std::vector<int>& entries) {
    if (entries.size() == 1) return entries[0];
    const auto first = static_cast<int>(program_.targets.size());
    program_.targets.insert(program_.targets.end(), entries.begin(), entries.end());
    return add({Op::kSplit, 0, 0, first, static_cast<int>(program_.targets.size())});
  }

  int emit_chars(const CharSet& set, int next) {
    std::vector<int> entries;
    for (const CharRange& range : set) {
      for (const auto& sequence : utf8_ranges(range.first, range.last)) {
        int entry = next;
        for (auto bytes = sequence.rbegin(); bytes != sequence.rend(); ++bytes) {
          entry = add({Op::kBytes, bytes->low, bytes->high, 0, entry});
        }
        entries.push_back(entry);
      }
    }
    return split(entries);
  }

  int emit_choice(const std::vector<ExprPtr>& parts, int next) {
    std::vector<int> entries;
    for (const ExprPtr& part : parts) {
      if (productive_.of(*part)) entries.push_back(emit(*part, next));
    }
    return split(entries);
  }

  int emit_repeat(const Expr& expr, int next) {
    const Expr& part = *expr.parts[0];
    if (!productive_.of(part)) return next;
    if (expr.min == 0 && expr.max == 1) return split({emit(part, next), next});
    if (expr.max == kUnbounded && expr.min <= 1) {
      const int again = split({next, next});
      const int body = emit(part, again);
      program_.targets[static_cast<size_t>(program_.code[static_cast<size_t>(again)].argument)] =
          body;
      return expr.min == 0 ? again : body;
    }
    const auto id = static_cast<int>(program_.repetitions.size());
    program_.repetitions.push_back({expr.min, expr.max, 0, !nullable_.of(part)});
    const int body = emit(part, add({Op::kLoop, 0, 0, id, next}));
    program_.repetitions[static_cast<size_t>(id)].body = body;
    const int enter = add({Op::kEnter, 0, 0, id, body});
    return expr.min == 0 ? split({enter, next}) : enter;
  }

  void find_byte_classes() {
    std::array<bool, 257> border{};
    border[0] = true;
    for (const Instruction& instruction : program_.code) {
      if (instruction.op != Op::kBytes) continue;
      border[instruction.low] = true;
      border[static_cast<size_t>(instruction.high) + 1] = true;
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      if (border[byte]) program_.class_byte.push_back(static_cast<uint8_t>(byte));
      program_.byte_class[byte] = static_cast<uint8_t>(program_.class_byte.size() - 1);
    }
  }

  const std::vector<ExprPtr>& rules_;
  const Productive productive_;
  const Nullable nullable_;
  Program program_;
};

}  // namespace

Result<Program> compile(const Grammar& grammar) {
  Emitter emitter(grammar);
  if (!emitter.productive().of(*grammar.root())) {
    return invalid_argument("no finite text satisfies it");
  }
  if (has_left_recursion(grammar.rules(), emitter.nullable())) {
    return invalid_argument("a rule begins with itself");
  }
  try {
    return emitter.run(*grammar.root());
  } catch (const TooLarge& error) {
    return invalid_argument(error.what());
  }
}

}  // namespace saccade::grammar
