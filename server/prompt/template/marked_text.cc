#include "server/prompt/template/marked_text.h"

#include <algorithm>

namespace saccade::jinja {

size_t MarkedText::first_flip_after(size_t offset) const {
  if (flips_.empty()) return 0;
  return std::upper_bound(flips_.begin(), flips_.end(), offset) - flips_.begin();
}

bool MarkedText::mark_at(size_t offset) const {
  return first_mark_ != (first_flip_after(offset) % 2 == 1);
}

void MarkedText::append(std::string_view bytes, bool from_user) {
  if (bytes.empty()) return;
  if (bytes_.empty()) {
    first_mark_ = from_user;
    flips_.clear();
  } else if (last_mark() != from_user) {
    flips_.push_back(bytes_.size());
  }
  bytes_.append(bytes);
}

void MarkedText::append(const MarkedText& other, size_t begin, size_t end) {
  other.for_each_run(begin, end,
                     [this](std::string_view run, bool from_user) { append(run, from_user); });
}

MarkedText MarkedText::substr(size_t begin, size_t end) const {
  MarkedText out;
  out.append(*this, begin, end);
  return out;
}

std::vector<TextSegment> MarkedText::segments() const {
  std::vector<TextSegment> out;
  for_each_run(0, size(), [&out](std::string_view run, bool from_user) {
    out.push_back(TextSegment{std::string(run), from_user});
  });
  return out;
}

}  // namespace saccade::jinja
