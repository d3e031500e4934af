#include "engine/models/library_release.h"

namespace saccade {

void follow_release(LibraryVersion library_version, DecoderConfig& decoder) {
  // Since 5 a head that the file holds counts, whatever the fields say.
  if (library_version >= std::pair(5, 0)) decoder.tie_word_embeddings = false;
  // Since 5.4 Gemma 2 scales word embeddings alone; before, visual tokens as well.
  if (library_version >= std::pair(5, 4)) {
    decoder.embedding_scale *= std::exchange(decoder.input_scale, 1);
  }
}

}  // namespace saccade
