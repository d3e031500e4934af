#include "server/api/completions/completion_request.h"

#include <catch2/catch_test_macros.hpp>

using namespace saccade;
using namespace saccade::api;

namespace {

Result<CompletionRequest> parse(const std::string& body) {
  const Result<Json> json = parse_body(body);
  if (!json) return json.status();
  ModelLimits limits;
  limits.vocab_size = 400;
  limits.max_model_len = 8;
  return parse_completion_request(*json, limits);
}

}  // namespace

TEST_CASE("a mistake in a completion request is refused with the path of its field") {
  const struct {
    const char* body;
    const char* param;
  } kRows[] = {
      {R"({})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":["a",[]]})", "prompt[1]"},
      {R"({"prompt":[400]})", "prompt[0]"},
      {R"({"prompt":[-1]})", "prompt[0]"},
      {R"({"prompt":[1.5]})", "prompt[0]"},
      {R"({"prompt":[[1],[2,999]]})", "prompt[1][1]"},
      {R"({"prompt":[1,2,3,4,5,6,7,8,9]})", "prompt"},
      {R"({"prompt":"a","suffix":"b"})", "suffix"},
      {R"({"prompt":"a","best_of":1,"n":2})", "best_of"},
      {R"({"prompt":"a","best_of":129})", "best_of"},
      {R"({"prompt":"a","best_of":2,"stream":true})", "best_of"},
      {R"({"prompt":["a","b"],"best_of":65})", "best_of"},
      {R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":-1,"echo":true})", "max_tokens"},
      {R"({"prompt":"a","echo":1})", "echo"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
      {R"({"prompt":["a","b"],"n":100})", "n"},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.body);
    const auto request = parse(row.body);
    REQUIRE_FALSE(request.ok());
    CHECK(request.status().param() == row.param);
  }
}

TEST_CASE("what is generated and what is returned may differ") {
  const auto best = parse(R"({"prompt":"a","best_of":5,"n":2})");
  REQUIRE(best.ok());
  CHECK(best->options.n == 5);
  CHECK(best->choices == 2);
  CHECK(best->options.sampling.logprobs == 0);  // to compare them
  CHECK_FALSE(best->logprobs);
  const auto echo = parse(R"({"prompt":"a","echo":true,"logprobs":2,"max_tokens":0})");
  REQUIRE(echo.ok());
  CHECK(echo->echo_logprobs);
  CHECK(echo->options.sampling.prompt_logprobs == 2);
  CHECK_FALSE(echo->prompt_logprobs);
  CHECK(parse(R"({"prompt":"a"})")->max_tokens == 16);
}

TEST_CASE("a prompt is text or ids, one or several") {
  CHECK(std::get<std::string>(parse(R"({"prompt":"a"})")->prompts.at(0)) == "a");
  CHECK(parse(R"({"prompt":["a","b"]})")->prompts.size() == 2);
  CHECK(std::get<std::vector<TokenId>>(parse(R"({"prompt":[1,2]})")->prompts.at(0)) ==
        std::vector<TokenId>{1, 2});
  const auto lists = parse(R"({"prompt":[[1,2],[3]],"best_of":1,"suffix":"","echo":true})");
  REQUIRE(lists.ok());
  CHECK(std::get<std::vector<TokenId>>(lists->prompts.at(1)) == std::vector<TokenId>{3});
}
