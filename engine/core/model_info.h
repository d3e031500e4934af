#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/key_rules.h"
#include "engine/core/media.h"
#include "engine/core/types.h"

namespace saccade {

// Where a family puts the visual tokens of a picture.
enum class MediaPlacement {
  kNone,           // text only: a picture in a request is refused
  kAtPlaceholder,  // where the template writes the placeholder (LLaVA)
  kBeforePrompt,   // before everything, BOS included (BLIP-2, InstructBLIP)
  // Beside the prompt: one placeholder a picture, which layers look at from there on until the next
  // one (IDEFICS). Without an image_token the whole prompt looks at one picture (LLaMA-Adapter).
  kBesidePrompt,
};

// Which frames of a video a family looks at where neither the request nor its processor file says:
// num_frames of them, or fps each second; 0 and 0: all.
struct FrameRule {
  // As the reference's video processors count and spread them.
  enum class Spread {
    kEven,    // at i * total / n, the library's default
    kGroups,  // the same, n a multiple of `group` (Qwen2-VL)
    kEnds,    // from the first to the last, fps each second but at most num_frames; without a
              // second at either end where the video is long (SmolVLM)
  };
  Spread spread = Spread::kEven;
  int num_frames = 0;
  double fps = 0;
  int min_frames = 0;   // kGroups, where fps counts them
  int max_frames = 0;   // 0: any number
  int group = 1;        // frames that one patch of the encoder spans
  bool exact = false;   // the prompt has room for num_frames, no fewer and no more
  double list_fps = 1;  // rate of frames given one by one where the request names none
};

// What the server needs to know of a model to turn messages into a prompt. Filled by the family's
// file in engine/models; holds no torch type, so that server/ can read it.
struct ModelInfo {
  std::string family;     // config.json's model_type
  int vocab_size = 0;     // rows of the output head
  int max_model_len = 0;  // positions the decoder was made for
  // False where cached keys depend on the whole prompt's length (dynamic rope): no sharing of
  // blocks.
  bool prefix_cacheable = true;
  // Length up to which one set of keys serves; the first longer sequence is computed anew, prompt
  // and answer (Phi-3's longrope). 0: there is one set.
  int recompute_beyond = 0;
  KeyRules keys = {};
  std::vector<TokenId> eos_ids;  // end ids of generation_config.json, else config.json

  MediaPlacement placement = MediaPlacement::kNone;
  TokenId image_token = -1;  // the placeholder's id, one per visual position (kBesidePrompt: one)
  // Whether the text holds that token for each picture.
  bool has_placeholders() const {
    return placement == MediaPlacement::kAtPlaceholder ||
           (placement == MediaPlacement::kBesidePrompt && image_token >= 0);
  }
  int max_images = 0;  // per request; 0: text, or videos, only
  // Visual tokens of a picture, all its parts together; negative: too large to be taken. Pure.
  std::function<int(const MediaLayout&)> image_tokens;
  // What a picture's placeholder becomes before the prompt is tokenised: a text that holds
  // `placeholder` once for each visual token. Empty: the placeholder, image_tokens times. Pure.
  std::function<std::string(const MediaLayout&, const std::string& placeholder)> image_text;
  // A token of the template that never stands twice in a row: of neighbours one is dropped. Empty:
  // none.
  std::string single_token;
  // A space stands between that token and a word directly behind it.
  bool space_behind_single_token = false;
  // No spaces stand around pictures, nor at either end of the prompt.
  bool trims_around_pictures = false;
  // kBesidePrompt: behind the tokenizer's end token no picture is looked at until the next one.
  bool end_token_hides_pictures = false;
  // How many rows of the decoder's width one row of an encoder output takes in memory: 1, but for
  // keys and values of several layers.
  int encoder_row_cost = 1;
  // How many rows of the decoder's width the vision tower's output of one part takes in memory,
  // where the connector reads an instruction, too, and the tower's part is kept for others. 0: no.
  int tower_rows = 0;
  // Rows and columns of a picture's visual tokens where the decoder's positions tell them apart.
  std::function<TokenGrid(const MediaLayout&)> token_grid;
  // Pixels the vision tower takes, after preprocessing; 0x0: of any size that the processor makes.
  ImageSize encoder_input;
  // Videos: the id at their visual positions, the text that templates write for one (empty: that
  // id's), how many a request may hold, and which of their frames are looked at. image_tokens and
  // image_text count for them too, by MediaLayout::kind.
  TokenId video_token = -1;
  std::string video_placeholder;
  int max_videos = 0;
  FrameRule frames;
  // The connector reads the instruction through the model's second tokenizer (qformer_tokenizer/).
  bool instruction_to_connector = false;
  int max_instruction_tokens = 0;  // longer ones are truncated, keeping the last special token
  // Used when neither the folder nor the command line brings a chat template. Empty: the prompt is
  // the text of the messages alone.
  std::string builtin_chat_template;
  // In place of the folder's own template for conversations with videos. Empty: the folder's.
  std::string video_chat_template;
  // How the processor joins BOS: it is not added when the rendered prompt starts with it.
  bool adds_special_tokens = true;
  // The processor writes BOS as text in front of the prompt, instead of having the tokenizer add
  // it.
  bool bos_as_text = false;
};

}  // namespace saccade
