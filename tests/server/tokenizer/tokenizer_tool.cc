// Drives a Tokenizer from the tests in Python: one JSON request per line on stdin, one JSON answer
// per line on stdout. Texts and pieces are hexadecimal, so that any bytes can pass.
//   {"encode": [["hex", from_user], ...], "special": true, "truncate": N, "protect": [ids]} ->
//   [ids]
//   {"decode": [ids], "skip": true}      -> "hex"
//   {"stream": [ids], "skip": true, "tail": [ids]} -> ["hex", ...], the flush last
//   {"info": true}                       -> vocabulary size and special ids
//   {"bytes": [ids]}                     -> ["hex", ...]
//   {"speed": "hex", "runs": N}          -> [CPU seconds, ...]
// `tokenizer_tool --check FOLDER` only loads; exit status 1 and one line when that fails.
#include <time.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "server/prompt/tokenizer/detokenizer.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace {

using nlohmann::json;
using saccade::TokenId;
using saccade::Tokenizer;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string to_hex(const std::string& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

json encode(const Tokenizer& tokenizer, const json& request) {
  std::vector<saccade::TextSegment> segments;
  for (const json& part : request["encode"]) {
    segments.push_back({from_hex(part[0].get<std::string>()), part[1].get<bool>()});
  }
  saccade::EncodeOptions options;
  options.add_special_tokens = request.value("special", false);
  options.max_length = request.value("truncate", 0);
  options.truncate = options.max_length > 0;
  const auto protect = request.value("protect", std::vector<TokenId>{});
  return tokenizer.encode(segments, options, protect);
}

json stream(const Tokenizer& tokenizer, const json& request) {
  saccade::StreamDetokenizer run(tokenizer, request.value("skip", false),
                                 request.value("tail", std::vector<TokenId>{}));
  json parts = json::array();
  for (const TokenId id : request["stream"].get<std::vector<TokenId>>()) {
    parts.push_back(to_hex(run.push(id)));
  }
  parts.push_back(to_hex(run.flush()));
  return parts;
}

json info(const Tokenizer& tokenizer) {
  json special = json::array();
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id)) special.push_back(id);
  }
  const auto id_or_null = [](std::optional<TokenId> id) { return id ? json(*id) : json(); };
  return {{"vocab_size", tokenizer.vocab_size()},  {"special", special},
          {"bos", id_or_null(tokenizer.bos_id())}, {"eos", id_or_null(tokenizer.eos_id())},
          {"pad", id_or_null(tokenizer.pad_id())}, {"unk", id_or_null(tokenizer.unk_id())}};
}

// Of this thread: other load on the machine does not count.
double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

json speed(const Tokenizer& tokenizer, const json& request) {
  const std::string text = from_hex(request["speed"].get<std::string>());
  json seconds = json::array();
  for (int run = 0; run < request["runs"].get<int>(); ++run) {
    const double start = cpu_seconds();
    const size_t count = tokenizer.encode(text, {.add_special_tokens = false}).size();
    const double taken = cpu_seconds() - start;
    if (count > 0) seconds.push_back(taken);
  }
  return seconds;
}

json answer(const Tokenizer& tokenizer, const json& request) {
  if (request.contains("encode")) return encode(tokenizer, request);
  if (request.contains("decode")) {
    return to_hex(tokenizer.decode(request["decode"].get<std::vector<TokenId>>(),
                                   request.value("skip", false)));
  }
  if (request.contains("stream")) return stream(tokenizer, request);
  if (request.contains("bytes")) {
    json out = json::array();
    for (const json& id : request["bytes"]) {
      out.push_back(to_hex(tokenizer.token_bytes(id.get<TokenId>())));
    }
    return out;
  }
  if (request.contains("info")) return info(tokenizer);
  return speed(tokenizer, request);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: tokenizer_tool [--check] FOLDER\n";
    return 2;
  }
  const bool check = std::string(argv[1]) == "--check";
  try {
    const auto tokenizer = Tokenizer::load(argv[check && argc > 2 ? 2 : 1]);
    if (check) return 0;
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << answer(*tokenizer, json::parse(line)).dump() << '\n' << std::flush;
    }
  } catch (const saccade::LoadError& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
