#include "server/api/chat/chat_request.h"

#include <catch2/catch_test_macros.hpp>

#include "server/json_limits.h"

using namespace saccade;
using namespace saccade::api;

namespace {

ModelLimits limits() {
  ModelLimits limits;
  limits.vocab_size = 400;
  limits.max_model_len = 256;
  return limits;
}

Result<ChatRequest> parse(const std::string& body) {
  const Result<Json> json = parse_body(body);
  if (!json) return json.status();
  return parse_chat_request(*json, limits());
}

// A valid body with `member` beside the messages.
std::string with(const std::string& member) {
  return R"({"messages":[{"role":"user","content":"hi"}],)" + member + "}";
}

std::string with_content(const std::string& content) {
  return R"({"messages":[{"role":"user","content":)" + content + "}]}";
}

}  // namespace

TEST_CASE("a mistake in a chat request is refused with the path of its field") {
  const struct {
    std::string body;
    const char* param;
  } kRows[] = {
      {"", ""},
      {"[]", ""},
      {"{\"messages\":", ""},
      {"{\"a\":\"\xff\"}", "a"},
      {"{\"a\":{\"b\":[0,{\"c\":\"x\\ud800y\"}]}}", "a.b[1].c"},
      {"{\"a\":\"\\udc00\"}", "a"},
      {"{\"\\ud800\":1}", ""},
      {"{\"a\":[[],\"\xc3\"", "a[1]"},
      {"{\"a\":[1e999]}", "a[0]"},
      {"{\"a\":NaN}", "a"},
      {"{\"a\":-Infinity}", "a"},
      {"{\"a\":1 \"b\":2}", ""},
      {"{\"a\":}", ""},
      {"{\"a\":", ""},
      {"{\"" + std::string(300, 'a') + "\":NaN}", ""},
      {std::string(101, '[') + std::string(101, ']'), ""},
      {"{}", "messages"},
      {R"({"messages":null})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":[1]})", "messages[0]"},
      {R"({"messages":[{"content":"hi"}]})", "messages[0].role"},
      {R"({"messages":[{"role":7,"content":"hi"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"root","content":"hi"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"assistant","content":null}]})", "messages[0].content"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":5}]})",
       "messages[1].content"},
      {with_content("[]"), "messages[0].content"},
      {with_content("{}"), "messages[0].content"},
      {with_content(R"(["hi"])"), "messages[0].content[0]"},
      {with_content(R"([{"text":"hi"}])"), "messages[0].content[0].type"},
      {with_content(R"([{"type":"audio"}])"), "messages[0].content[0].type"},
      {with_content(R"([{"type":"video_url"}])"), "messages[0].content[0].video_url"},
      {with_content(R"([{"type":"video_url","video_url":{"url":1}}])"),
       "messages[0].content[0].video_url.url"},
      {with_content(R"([{"type":"video","frames":[1]}])"), "messages[0].content[0].frames[0]"},
      {with_content(R"([{"type":"video","video":"x","num_frames":0}])"),
       "messages[0].content[0].num_frames"},
      {with_content(R"([{"type":"video","video":"x","fps":1,"num_frames":2}])"),
       "messages[0].content[0].fps"},
      {with_content(R"([{"type":"video","video":"x","start":-1}])"),
       "messages[0].content[0].start"},
      {with_content(R"([{"type":"video","video":"x","start":2,"end":2}])"),
       "messages[0].content[0].end"},
      {with(R"("media_io_kwargs":{"video":{"fps":"x"}})"), "media_io_kwargs.video.fps"},
      {with(R"("mm_processor_kwargs":[])"), "mm_processor_kwargs"},
      {with_content(R"([{"type":"text"}])"), "messages[0].content[0].text"},
      {with_content(R"([{"type":"text","text":1}])"), "messages[0].content[0].text"},
      {with_content(R"([{"type":"image_url"}])"), "messages[0].content[0].image_url"},
      {with_content(R"([{"type":"image_url","image_url":5}])"), "messages[0].content[0].image_url"},
      {with_content(R"([{"type":"image_url","image_url":{}}])"),
       "messages[0].content[0].image_url.url"},
      {with_content(R"([{"type":"image_url","image_url":{"url":1}}])"),
       "messages[0].content[0].image_url.url"},
      {with_content(R"([{"type":"image_url","image_url":{"url":"x","detail":"huge"}}])"),
       "messages[0].content[0].image_url.detail"},
      {with(R"("model":1)"), "model"},
      {with(R"("temperature":"hot")"), "temperature"},
      {with(R"("temperature":-0.1)"), "temperature"},
      {with(R"("temperature":2.1)"), "temperature"},
      {with(R"("temperature":1e999)"), "temperature"},
      {with(R"("temperature":NaN)"), "temperature"},
      {with(R"("top_p":1.5)"), "top_p"},
      {with(R"("min_p":-1)"), "min_p"},
      {with(R"("top_k":1.5)"), "top_k"},
      {with(R"("top_k":-2)"), "top_k"},
      {with(R"("repetition_penalty":0)"), "repetition_penalty"},
      {with(R"("presence_penalty":3)"), "presence_penalty"},
      {with(R"("frequency_penalty":-3)"), "frequency_penalty"},
      {with(R"("max_tokens":0)"), "max_tokens"},
      {with(R"("max_tokens":"7")"), "max_tokens"},
      {with(R"("max_tokens":99999999999)"), "max_tokens"},
      {with(R"("max_completion_tokens":-1)"), "max_completion_tokens"},
      {with(R"("max_tokens":2,"min_tokens":3)"), "min_tokens"},
      {with(R"("n":0)"), "n"},
      {with(R"("n":129)"), "n"},
      {with(R"("n":true)"), "n"},
      {with(R"("seed":1.5)"), "seed"},
      {with(R"("seed":18446744073709551615)"), "seed"},
      {with(R"("stop":5)"), "stop"},
      {with(R"("stop":"")"), "stop"},
      {with(R"("stop":["a",""])"), "stop[1]"},
      {with(R"("stop":["a","b","c","d","e"])"), "stop"},
      {with("\"stop\":\"" + std::string(1025, 'x') + "\""), "stop"},
      {with(R"("stop_token_ids":[400])"), "stop_token_ids[0]"},
      {with(R"("stop_token_ids":7)"), "stop_token_ids"},
      {with(R"("logit_bias":[])"), "logit_bias"},
      {with(R"("logit_bias":{"x":1})"), "logit_bias.x"},
      {with(R"("logit_bias":{"400":1})"), "logit_bias.400"},
      {with(R"("logit_bias":{"5":101})"), "logit_bias.5"},
      {with(R"("logprobs":1)"), "logprobs"},
      {with(R"("top_logprobs":2)"), "top_logprobs"},
      {with(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs"},
      {with(R"("stream":"yes")"), "stream"},
      {with(R"("stream_options":{"include_usage":true})"), "stream_options"},
      {with(R"("stream":true,"stream_options":5)"), "stream_options"},
      {with(R"("stream":true,"stream_options":{"include_usage":1})"),
       "stream_options.include_usage"},
      {with(R"("tools":{})"), "tools"},
      {with(R"("tools":[{"type":"function","function":{}}])"), "tools[0].function.name"},
      {with(R"("tool_choice":"required")"), "tool_choice"},
      {with(R"("functions":[{"name":""}])"), "functions[0].name"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"function":{}}]}]})",
       "messages[0].tool_calls[0].function.name"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{}]}]})",
       "messages[0].tool_calls[0].function"},
      {R"({"messages":[{"role":"assistant","function_call":5}]})", "messages[0].function_call"},
      {with(R"("response_format":{"type":"xml"})"), "response_format.type"},
      {with(R"("response_format":{"type":"json_schema"})"), "response_format.json_schema"},
      {with(R"("guided_regex":5)"), "guided_regex"},
      {with(R"("guided_json":{},"guided_choice":["a"])"), "guided_choice"},
      {with(R"("response_format":"text")"), "response_format"},
      {with(R"("ignore_eos":0)"), "ignore_eos"},
      {with(R"("metadata":{"a":[1]})"), "metadata.a"},
      {with(R"("metadata":"a")"), "metadata"},
      {with(R"("user":5)"), "user"},
      {with(R"("store":"no")"), "store"},
      {with(R"("service_tier":"gold")"), "service_tier"},
      {with(R"("service_tier":"auto|default")"), "service_tier"},
      {with(R"("prediction":"text")"), "prediction"},
      {with(R"("modalities":["text","audio"])"), "modalities[1]"},
      {with(R"("modalities":"text")"), "modalities"},
      {with(R"("audio":{"voice":"x"})"), "audio"},
      {with(R"("web_search_options":{"a":1})"), "web_search_options"},
      {with(R"("verbosity":"loud")"), "verbosity"},
      {with(R"("truncate_prompt_tokens":0)"), "truncate_prompt_tokens"},
      {with(R"("truncate_prompt_tokens":-2)"), "truncate_prompt_tokens"},
      {with(R"("prompt_logprobs":21)"), "prompt_logprobs"},
      {with(R"("prompt_logprobs":1,"stream":true)"), "prompt_logprobs"},
      {with(R"("return_token_ids":1)"), "return_token_ids"},
      {with(R"("timings":"yes")"), "timings"},
      {with(R"("chat_template":"{{ 1 }}")"), "chat_template"},
      {with(R"("chat_template":1)"), "chat_template"},
      {with(R"("add_special_tokens":"no")"), "add_special_tokens"},
      {with(R"("include_stop_str_in_output":1)"), "include_stop_str_in_output"},
      {with(R"("stream":true,"stream_options":{"continuous_usage_stats":"x"})"),
       "stream_options.continuous_usage_stats"},
      {with(R"("chat_template_kwargs":[])"), "chat_template_kwargs"},
      {with(R"("add_generation_prompt":true,"continue_final_message":true)"),
       "continue_final_message"},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.body);
    const Result<ChatRequest> request = parse(row.body);
    REQUIRE_FALSE(request.ok());
    CHECK(request.status().code() == StatusCode::kInvalidArgument);
    CHECK(request.status().param() == row.param);
    CHECK_FALSE(request.status().message().empty());
  }
}

TEST_CASE("a body that would cost quadratic time or many times its size is refused unread") {
  std::string members = "{\"a\":0";
  for (int i = 0; i < kMaxJsonMembers; ++i) members += ",\"k" + std::to_string(i) + "\":0";
  CHECK_FALSE(parse_body(members + "}").ok());
  std::string values = "{\"a\":[0";
  for (int i = 0; i < kMaxJsonValues; ++i) values += ",0";
  CHECK_FALSE(parse_body(values + "]}").ok());
  // Signs inside of strings do not count.
  const std::string signs(400'000, ',');
  CHECK(parse_body("{\"a\":\"" + signs + "[{:\\\"{\"}").ok());
}

TEST_CASE("a body beyond a limit names the field that is") {
  std::string members = "{\"a\":[{}],\"logit_bias\":{\"-1\":0";
  for (int i = 0; i < kMaxJsonMembers; ++i) members += ",\"" + std::to_string(i) + "\":0";
  std::string values = "{\"b\":\"c\",\"tokens\":[0";
  for (int i = 0; i < kMaxJsonValues; ++i) values += ",0";
  const std::string deep = "{\"a\":1,\"tools\":" + std::string(kMaxJsonDepth, '[');
  for (const auto& [body, param] : {std::pair(members + "}}", "logit_bias"),
                                    std::pair(values + "]}", "tokens"), std::pair(deep, "tools")}) {
    const Status status = parse_body(body).status();
    CHECK(status.param() == param);
    CHECK(status.message().starts_with(std::string("the body: ") + param));
  }
  // No names that no field has.
  const std::string odd = "{\"a\\n\":" + std::string(kMaxJsonDepth, '[');
  CHECK(parse_body(odd).status().param().empty());
}

TEST_CASE("a schema that comes as text has the limits of a body") {
  for (const char* name : {"guided_json", "response_format"}) {
    const std::string deep(200'000, '[');
    const std::string text = R"("{\"a\":)" + deep + std::string(200'000, ']') + "}\"";
    const bool guided = std::string_view(name) == "guided_json";
    const auto request = parse(with(
        guided ? R"("guided_json":)" + text
               : R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":)" +
                     text + "}}"));
    REQUIRE_FALSE(request.ok());
    CHECK(request.status().param() ==
          (guided ? "guided_json" : "response_format.json_schema.schema"));
  }
}

TEST_CASE("null is absent for every optional field, and unknown fields are ignored") {
  const auto request = parse(with(
      R"("model":null,"temperature":null,"top_p":null,"top_k":null,"min_p":null,"n":null,"seed":null,
         "stop":null,"stop_token_ids":null,"max_tokens":null,"max_completion_tokens":null,
         "min_tokens":null,"logprobs":null,"top_logprobs":null,"logit_bias":null,"stream":null,
         "stream_options":null,"tools":null,"tool_choice":null,"response_format":null,"user":null,
         "presence_penalty":null,"frequency_penalty":null,"repetition_penalty":null,
         "chat_template_kwargs":null,"metadata":null,"parallel_tool_calls":true)"));
  REQUIRE(request.ok());
  CHECK(request->options.sampling.temperature == 1.0f);
  CHECK(request->options.n == 1);
  CHECK_FALSE(request->options.max_tokens.has_value());
  CHECK_FALSE(request->options.sampling.logprobs.has_value());
}

TEST_CASE("what asks for nothing new is accepted") {
  for (const char* member :
       {R"("tools":[])", R"("tool_choice":"none")", R"("tool_choice":"auto")",
        R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none")",
        R"("functions":[])", R"("response_format":{"type":"text"})", R"("top_k":-1)",
        R"("top_p":0)"}) {
    CAPTURE(member);
    CHECK(parse(with(member)).ok());
  }
}

TEST_CASE("the fields of a chat request arrive in native types") {
  const auto request = parse(with(
      R"("temperature":0.5,"top_p":0,"max_tokens":5,"max_completion_tokens":7,"seed":-3,"n":2,
         "stop":"x","logprobs":true,"logit_bias":{"3":-100},"stream":true,
         "stream_options":{"include_usage":true},"stop_token_ids":[9])"));
  REQUIRE(request.ok());
  const GenerationOptions& options = request->options;
  CHECK(options.sampling.temperature == 0.5f);
  CHECK(options.sampling.top_k == 1);  // top_p 0
  CHECK(options.max_tokens == 7);
  CHECK(options.seed == -3);
  CHECK(options.n == 2);
  CHECK(options.stop == std::vector<std::string>{"x"});
  CHECK(options.sampling.stop_ids == std::vector<TokenId>{9});
  CHECK(options.sampling.logprobs == 0);
  REQUIRE(options.sampling.logit_bias.size() == 1);
  CHECK(options.sampling.logit_bias[0] == std::pair<TokenId, float>{3, -100.0f});
  CHECK(options.include_usage);
}

TEST_CASE("a tool's result names a call of an earlier message") {
  const std::string call = R"({"role":"assistant","tool_calls":[
      {"id":"a","function":{"name":"f"}},{"id":"b","function":{"name":"f"}}]})";
  const std::string nameless = R"({"role":"assistant","tool_calls":[{"function":{"name":"f"}}]})";
  const std::string older = R"({"role":"assistant","function_call":{"name":"f","arguments":""}})";
  const auto result = [](const char* id) {
    return std::string(R"({"role":"tool","tool_call_id":)") + id + R"(,"content":"1"})";
  };
  const struct {
    std::vector<std::string> messages;
    const char* param;  // null: accepted
  } kRows[] = {
      {{call, result("\"b\""), result("\"a\"")}, nullptr},
      {{call, result("\"a\""), R"({"role":"user","content":"b?"})", result("\"b\"")}, nullptr},
      {{call, result("\"c\"")}, "messages[1].tool_call_id"},
      {{call, result("\"\"")}, "messages[1].tool_call_id"},
      {{call, result("null")}, "messages[1].tool_call_id"},
      {{result("\"a\""), call}, "messages[0].role"},
      {{result("null")}, "messages[0].tool_call_id"},
      {{nameless, result("\"a\"")}, nullptr},  // as Hugging Face's chats have it
      {{nameless, result("null")}, nullptr},
      {{older, R"({"role":"function","name":"f","content":"1"})"}, nullptr},
  };
  for (const auto& row : kRows) {
    std::string body = R"({"messages":[)";
    for (size_t i = 0; i < row.messages.size(); ++i) body += (i == 0 ? "" : ",") + row.messages[i];
    CAPTURE(body);
    const auto request = parse(body + "]}");
    CHECK(request.ok() == (row.param == nullptr));
    if (row.param != nullptr) CHECK(request.status().param() == row.param);
  }
}

TEST_CASE("messages keep their parts, and developer is system") {
  const auto request = parse(R"({"messages":[
      {"role":"developer","content":"Be brief."},
      {"role":"user","content":[{"type":"image_url","image_url":{"url":"data:a","detail":"auto"}},
                                {"type":"text","text":"What?"},
                                {"type":"image_url","image_url":"data:b"}]},
      {"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f"}}]},
      {"role":"tool","tool_call_id":"1","content":"42"}]})");
  REQUIRE(request.ok());
  const auto& messages = request->conversation.messages;
  REQUIRE(messages.size() == 4);
  CHECK(messages[0].role == "system");
  CHECK(messages[0].plain_string);
  CHECK_FALSE(messages[1].plain_string);
  CHECK_FALSE(messages[2].has_content);
  CHECK(messages[2].extra["tool_calls"][0]["id"] == "1");
  const auto images = request->conversation.media();
  REQUIRE(images.size() == 2);
  CHECK(images[0]->text == "data:a");
  CHECK(images[0]->param == "messages[1].content[0].image_url.url");
  CHECK(images[1]->text == "data:b");
  CHECK(images[1]->param == "messages[1].content[2].image_url");
}

TEST_CASE("videos: a URL, or frames; fields of the part, of the URL and of the request") {
  const auto request = parse(R"({"mm_processor_kwargs":{"num_frames":7},"messages":[
      {"role":"user","content":[
        {"type":"video_url","video_url":{"url":"data:a","fps":2},"start":1},
        {"type":"video","video":"data:b"},
        {"type":"video","frames":["x",{"url":"y"},{"type":"image_url","image_url":{"url":"z"}}],
         "fps":4,"end":0.5}]}]})");
  REQUIRE(request.ok());
  const auto media = request->conversation.media();
  REQUIRE(media.size() == 3);
  CHECK(media[0]->kind == ContentPart::Kind::kVideo);
  CHECK(media[0]->text == "data:a");
  CHECK(media[0]->param == "messages[0].content[0].video_url.url");
  CHECK(media[0]->sampling.fps == 2.0);
  CHECK(media[0]->sampling.start == 1.0);
  CHECK_FALSE(media[0]->sampling.num_frames.has_value());
  CHECK(media[1]->text == "data:b");
  CHECK(media[1]->sampling.num_frames == 7);
  CHECK(media[2]->frames == std::vector<std::string>{"x", "y", "z"});
  CHECK(media[2]->list_fps == 4);
  CHECK_FALSE(media[2]->sampling.fps.has_value());
  CHECK(media[2]->sampling.end == 0.5);
}
