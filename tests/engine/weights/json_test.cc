#include "engine/weights/json.h"

#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <cmath>
#include <limits>

#include "tests/engine/weights/test_folder.h"

using Catch::Matchers::ContainsSubstring;
using saccade::Json;
using saccade::JsonFile;
using saccade::JsonView;
using saccade::LoadError;
using saccade::parse_json;
using saccade::testing::load_error_of;
using saccade::testing::TestFolder;

namespace {

std::string string_of(std::string_view text) { return *parse_json(text, "t").string(); }

}  // namespace

TEST_CASE("json: values keep their kind") {
  CHECK(parse_json("null", "t").is_null());
  CHECK(*parse_json(" true ", "t").boolean());
  CHECK_FALSE(*parse_json("false", "t").boolean());
  CHECK(*parse_json("-0", "t").integer() == 0);
  CHECK(*parse_json("9223372036854775807", "t").integer() == std::numeric_limits<int64_t>::max());
  CHECK(parse_json("9223372036854775808", "t").integer() == nullptr);
  CHECK(*parse_json("9223372036854775808", "t").number() == 9223372036854775808.0);
  CHECK(parse_json("1.0", "t").integer() == nullptr);
  CHECK(*parse_json("1e-06", "t").number() == 1e-6);
  CHECK(*parse_json("-2.5E+2", "t").number() == -250.0);
  CHECK(std::isnan(*parse_json("NaN", "t").number()));
  CHECK(*parse_json("Infinity", "t").number() == std::numeric_limits<double>::infinity());
  CHECK(*parse_json("-Infinity", "t").number() == -std::numeric_limits<double>::infinity());
  CHECK(parse_json("[]", "t").array()->empty());
  CHECK(parse_json("[1, [2], {}]", "t").array()->size() == 3);
}

TEST_CASE("json: objects keep the order of the file") {
  const Json json = parse_json(R"({"b": 1, "a": {"c": [2]}, "": 3})", "t");
  REQUIRE(json.object()->size() == 3);
  CHECK((*json.object())[0].key == "b");
  CHECK((*json.object())[2].key.empty());
  CHECK(*json.find("a")->find("c")->array()->at(0).integer() == 2);
  CHECK(json.find("x") == nullptr);
  CHECK(json.find("b")->find("x") == nullptr);
}

TEST_CASE("json: strings") {
  CHECK(string_of(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
  CHECK(string_of(R"("\u0041\u00e9\u2581\ud83d\ude00")") == "A\u00e9\u2581\U0001F600");
  CHECK(string_of("\"\u00e9\u2581\U0001F600\"") == "\u00e9\u2581\U0001F600");
  CHECK(string_of(R"("a\u0000b")") == std::string("a\0b", 3));
}

TEST_CASE("json: malformed texts are refused with their place") {
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"", "t: line 1 column 1: unexpected end of the text"},
      {"{\"a\":\n 1", "t: line 2 column 3: unexpected end of the text"},
      {"{\"a\" 1}", "line 1 column 6: expected ':'"},
      {"{\"a\": 1,}", "expected a key in double quotes"},
      {"{a: 1}", "expected a key in double quotes"},
      {"[1,]", "expected a value"},
      {"[1 2]", "expected ',' or ']'"},
      {"[1}", "expected ',' or ']'"},
      {"{\"a\": 1 \"b\": 2}", "expected ',' or '}'"},
      {"{\"a\": 1, \"b\": 2, \"a\": 3}", "the key \"a\" occurs twice"},
      {"1 2", "text after the end"},
      {"// x\n1", "expected a value"},
      {"tru", "expected a value"},
      {"\xEF\xBB\xBF{}", "expected a value"},
      {"01", "malformed number"},
      {"-", "malformed number"},
      {"1.", "malformed number"},
      {".5", "expected a value"},
      {"+1", "expected a value"},
      {"1e", "malformed number"},
      {"0x10", "text after the end"},
      {"1e999", "number out of range"},
      {"\"abc", "inside a string"},
      {"\"\\", "unexpected end"},
      {"\"\\x41\"", "unknown escape"},
      {"\"\\u12\"", "malformed \\u escape"},
      {"\"\\u-123\"", "malformed \\u escape"},
      {"\"\\ud800\"", "lone surrogate"},
      {"\"\\ud800\\u0041\"", "lone surrogate"},
      {"\"\\udc00\"", "lone surrogate"},
      {"\"a\nb\"", "control character"},
      {"\"\xC0\x80\"", "not UTF-8"},
      {"\"\xE0\x80\x80\"", "not UTF-8"},
      {"\"\xED\xA0\x80\"", "not UTF-8"},
      {"\"\xF4\x90\x80\x80\"", "not UTF-8"},
      {"\"\xF0\x9F\x98", "not UTF-8"},
      {"\"\x80\"", "not UTF-8"},
      {std::string(1 << 20, '['), "nested too deeply"},
      {"[" + std::string(1 << 20, ' '), "unexpected end of the text"},
  };
  for (const auto& [text, message] : cases) {
    CAPTURE(text.substr(0, 40), message);
    CHECK_THAT(load_error_of([&] { parse_json(text, "t"); }), ContainsSubstring(message));
  }
}

TEST_CASE("json: limits hold") {
  const std::string hundred = std::string(100, '[') + "1" + std::string(100, ']');
  CHECK_NOTHROW(parse_json(hundred, "t"));
  CHECK_THROWS_AS(parse_json("[" + hundred + "]", "t"), LoadError);
  CHECK_THAT(load_error_of([] { parse_json("[1,2,3]", "t", {.max_values = 3}); }),
             ContainsSubstring("too many values"));
  CHECK_THAT(load_error_of([] { parse_json("[1,2,3]", "t", {.max_bytes = 6}); }),
             ContainsSubstring("t: too large: 7 bytes, the limit is 6"));
}

TEST_CASE("json: quoted text is one printable line") {
  CHECK(saccade::printable("a\n\"\x1b\xff") == R"("a\x0a\x22\x1b\xff")");
  CHECK(saccade::printable(std::string(500, 'a')).size() < 70);
}

TEST_CASE("json view: reads with defaults") {
  const Json json = parse_json(R"({"hidden_size": 64, "eps": 1e-5, "whole": 2, "act": "silu",
      "tie": true, "nothing": null, "rope": {"factor": 4.0}, "layer": -2, "layers": [2, -7],
      "mean": [0.5, 1], "archs": ["A", "B"], "grid": [[336, 672], [672, 336]]})",
                               "t");
  const JsonView view(json, "config.json");
  CHECK(view.positive_int("hidden_size") == 64);
  CHECK(view.positive_int("absent", 7) == 7);
  CHECK(view.positive_int("nothing", 7) == 7);
  CHECK(view.integer_or("layer", 0) == -2);
  CHECK(view.number("eps", 1e-6) == 1e-5);
  CHECK(view.number("whole", 1.0) == 2.0);
  CHECK(view.number("absent", 1e-6) == 1e-6);
  CHECK(view.number_in("eps", 1e-6, 0, 1) == 1e-5);
  CHECK(view.string("act", "gelu") == "silu");
  CHECK(view.string("absent", "gelu") == "gelu");
  CHECK(view.boolean("tie", false));
  CHECK_FALSE(view.boolean("nothing", false));
  CHECK(view.has("tie"));
  CHECK_FALSE(view.has("nothing"));
  CHECK(view.object("rope")->number("factor", 1.0) == 4.0);
  CHECK(view.object("rope")->path() == "config.json: rope");
  CHECK_FALSE(view.object("absent").has_value());
  CHECK(view.int_list("layers") == std::vector<int>{2, -7});
  CHECK(view.int_or_int_list("layers") == std::vector<int>{2, -7});
  CHECK(view.int_or_int_list("layer") == std::vector<int>{-2});
  CHECK(view.int_or_int_list("absent").empty());
  CHECK(view.number_list("mean") == std::vector<double>{0.5, 1.0});
  CHECK(view.string_list("archs") == std::vector<std::string>{"A", "B"});
  CHECK(view.int_lists("grid") == std::vector<std::vector<int>>{{336, 672}, {672, 336}});
}

TEST_CASE("json view: errors name the file and the path") {
  const Json json = parse_json(R"({"text_config": {"hidden_size": "x", "zero": 0, "big": 3000000000,
      "half": 1.5, "inf": Infinity, "list": [1, "a"], "flag": 1, "rope": [], "rows": [[1], 2]}})",
                               "t");
  const JsonView text = *JsonView(json, "config.json").object("text_config");
  const auto error = [&](auto call) { return load_error_of([&] { call(); }); };
  CHECK(error([&] { text.positive_int("hidden_size", 1); }) ==
        "config.json: text_config.hidden_size: expected an integer of 1 to 1073741824, got \"x\"");
  CHECK(error([&] { text.positive_int("gone"); }) == "config.json: text_config.gone: missing");
  CHECK_THAT(error([&] { text.positive_int("zero", 1); }), ContainsSubstring("got 0"));
  CHECK_THAT(error([&] { text.positive_int("big", 1); }), ContainsSubstring("got 3000000000"));
  CHECK_THAT(error([&] { text.integer_or("half", 1); }), ContainsSubstring("got 1.5"));
  CHECK_THAT(error([&] { text.number("inf", 1); }), ContainsSubstring("finite number, got inf"));
  CHECK_THAT(error([&] { text.number_in("half", 1, 0, 1); }),
             ContainsSubstring("expected a number of 0 to 1, got 1.5"));
  CHECK_THAT(error([&] { text.int_list("list"); }),
             ContainsSubstring("text_config.list[1]: expected an integer"));
  CHECK_THAT(error([&] { text.number_list("list"); }), ContainsSubstring("list[1]"));
  CHECK_THAT(error([&] { text.string_list("list"); }), ContainsSubstring("list[0]"));
  CHECK_THAT(error([&] { text.int_lists("rows"); }), ContainsSubstring("rows[1]"));
  CHECK_THAT(error([&] { text.boolean("flag", true); }),
             ContainsSubstring("expected true or false, got 1"));
  CHECK_THAT(error([&] { text.object("rope"); }),
             ContainsSubstring("text_config.rope: expected an object, got a list"));
  CHECK_THAT(error([&] { text.string("flag", ""); }), ContainsSubstring("expected a string"));
  CHECK(error([&] { text.fail("rope", "no"); }) == "config.json: text_config.rope: no");
}

TEST_CASE("json file: missing, odd and broken files") {
  const TestFolder folder;
  const auto error = [&](const char* name) {
    return load_error_of([&] { JsonFile::load(folder.path() / name); });
  };
  folder.write("good.json", R"({"a": 1})");
  const JsonFile good = JsonFile::load(folder.path() / "good.json");
  CHECK(good.root().positive_int("a") == 1);
  folder.write("empty.json", "");
  CHECK_THAT(error("empty.json"), ContainsSubstring("empty.json: line 1 column 1: unexpected end"));
  folder.write("list.json", "[1]");
  CHECK(error("list.json") == "list.json: expected an object, got a list");
  folder.write("cut.json", R"({"a": [1, 2)");
  CHECK_THAT(error("cut.json"), ContainsSubstring("cut.json: line 1 column 12: unexpected end"));
  CHECK_THAT(error("absent.json"), ContainsSubstring("absent.json: cannot open: No such file"));
  std::filesystem::create_directory(folder.path() / "dir.json");
  CHECK(error("dir.json") == "dir.json: not a regular file");
  REQUIRE(::mkfifo((folder.path() / "pipe.json").c_str(), 0600) == 0);
  CHECK(error("pipe.json") == "pipe.json: not a regular file");
  std::filesystem::create_symlink(folder.path() / "good.json", folder.path() / "link.json");
  CHECK(error("link.json").empty());
  folder.write("large.json", "");
  std::filesystem::resize_file(folder.path() / "large.json", size_t{1} << 40);
  CHECK_THAT(error("large.json"), ContainsSubstring("large.json: too large"));
}
