// Writes random texts under the masks of grammars: what a model with random weights would write.
//   grammar_tool TOKENIZER_FOLDER END_ID [VOCAB_SIZE] < lines
// A line in: {"kind": "json_schema", "text": ..., "seed": 1, "max_tokens": 500}
// A line out: {"text", "finished", "tokens", "compile_ms", "mask_us", "accept_us", "places",
// "most_places"} (of automata, all and for one token), or {"error", "param"}
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "server/output/grammar/compiler.h"

namespace saccade {
namespace {

using Json = nlohmann::json;

double micros_since(TimePoint start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

const std::map<std::string, GrammarSpec::Kind> kKinds = {
    {"json_object", GrammarSpec::Kind::kJsonObject},
    {"json_schema", GrammarSpec::Kind::kJsonSchema},
    {"regex", GrammarSpec::Kind::kRegex},
    {"choice", GrammarSpec::Kind::kChoice},
    {"grammar", GrammarSpec::Kind::kGrammar}};

// Any allowed token is as likely as any other. -1: there is none.
TokenId draw(const std::vector<uint32_t>& mask, int vocab_size, std::mt19937_64& random) {
  std::vector<TokenId> allowed;
  for (TokenId id = 0; id < vocab_size; ++id) {
    if (mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) allowed.push_back(id);
  }
  if (allowed.empty()) return -1;
  return allowed[random() % allowed.size()];
}

Json run(GrammarCompiler& compiler, const Tokenizer& tokenizer, TokenId end, int vocab_size,
         const Json& job) {
  GrammarSpec spec{kKinds.at(job.at("kind")), job.value("text", ""), "field"};
  const TimePoint start = Clock::now();
  const auto grammar = compiler.compile(spec);
  const double compile_ms = micros_since(start) / 1000;
  if (!grammar) {
    return {{"error", grammar.status().message()}, {"param", grammar.status().param()}};
  }
  const auto credit = std::make_shared<GrammarCredit>();
  const auto matcher = (*grammar)->start(credit);
  std::mt19937_64 random(job.value("seed", 0));
  std::string text;
  double mask_us = 0, accept_us = 0;
  int tokens = 0;
  int64_t most_places = 0;
  bool finished = false;
  const int max_tokens = job.value("max_tokens", 1000);
  while (tokens < max_tokens && !finished) {
    std::vector<uint32_t> mask((static_cast<size_t>(vocab_size) + 31) / 32, ~0u);
    const int64_t spent = credit->spent();
    TimePoint now = Clock::now();
    matcher->fill_mask(mask.data(), vocab_size);
    mask_us += micros_since(now);
    const TokenId token = draw(mask, vocab_size, random);
    if (token < 0) return {{"error", "no token is allowed after: " + text}, {"param", ""}};
    now = Clock::now();
    if (!matcher->accept(token)) return {{"error", "refused after: " + text}, {"param", ""}};
    accept_us += micros_since(now);
    ++tokens;
    most_places = std::max(most_places, credit->spent() - spent);
    finished = token == end;
    if (!finished) text += tokenizer.token_bytes(token);
  }
  return {{"text", text},
          {"finished", finished},
          {"tokens", tokens},
          {"compile_ms", compile_ms},
          {"mask_us", mask_us / tokens},
          {"accept_us", accept_us / tokens},
          {"places", credit->spent()},
          {"most_places", most_places}};
}

int run_all(const char* folder, TokenId end, int vocab_size) {
  const std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(folder);
  if (vocab_size == 0) vocab_size = tokenizer->vocab_size();

  GrammarCompiler compiler(tokenizer, vocab_size, {end});
  for (std::string line; std::getline(std::cin, line);) {
    Json result;
    try {
      result = run(compiler, *tokenizer, end, vocab_size, Json::parse(line));
    } catch (const std::runtime_error& error) {
      result = {{"error", error.what()}, {"param", ""}};
    }
    std::cout << result.dump(-1, ' ', true, Json::error_handler_t::replace) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace saccade

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  return saccade::run_all(argv[1], std::atoi(argv[2]), argc > 3 ? std::atoi(argv[3]) : 0);
}
