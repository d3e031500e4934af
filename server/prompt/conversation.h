#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "server/media/frame_sampler.h"
#include "server/media/picture_use.h"

namespace saccade {

// One piece of a message. `text` is the words, or the URL of the picture or video; of a file its
// data or its id, until load_files has made words or a picture of it.
struct ContentPart {
  enum class Kind { kText, kImage, kVideo, kFile, kStoredFile };
  Kind kind = Kind::kText;
  std::string text = {};
  std::string param = {};  // path of the text or URL in the request, for errors
  ImageDetail detail = ImageDetail::kAuto;
  // Of a video: URLs of its frames where it came as a list of them (`text` is empty then), taken at
  // list_fps (absent: at the family's own rate); and which frames are wanted.
  std::vector<std::string> frames = {};
  std::optional<double> list_fps = {};
  FrameRequest sampling = {};
  std::string file_name = {};  // of a file: stands above its text
};

struct ChatMessage {
  std::string role;  // system, user, assistant or tool
  std::vector<ContentPart> parts;
  bool plain_string = false;  // the content came as one string: templates may see it as such
  bool has_content = true;    // false: null or absent (assistant messages with tool calls)
  // What else a template may use, as sent: name, tool_calls, tool_call_id, reasoning_content.
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();
};

// A chat before it becomes a prompt.
struct Conversation {
  std::vector<ChatMessage> messages;
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the last message is left open for the model to go on
  nlohmann::ordered_json template_kwargs = nlohmann::ordered_json::object();
  std::string reasoning_effort;  // "none" to "xhigh", for templates that ask; empty: not said
  std::string chat_template;     // instead of the model's; empty: the model's
  std::optional<bool> add_special_tokens;  // none: as the model's processor does
  nlohmann::ordered_json tools = nlohmann::ordered_json::array();      // as the template sees them
  nlohmann::ordered_json documents = nlohmann::ordered_json::array();  // of retrieval, as it does

  // Pictures and videos, in the order of the conversation.
  std::vector<const ContentPart*> media() const {
    std::vector<const ContentPart*> found;
    for (const ChatMessage& message : messages) {
      for (const ContentPart& part : message.parts) {
        if (part.kind != ContentPart::Kind::kText) found.push_back(&part);
      }
    }
    return found;
  }
};

}  // namespace saccade
