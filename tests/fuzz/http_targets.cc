// What comes over the wire before it is JSON, and the JSON.
#include <zlib.h>

#include "server/api/fields/json.h"
#include "server/http/chunked.h"
#include "server/http/gunzip.h"
#include "server/http/head_text.h"
#include "server/http/multipart.h"
#include "server/http/request_head.h"
#include "tests/fuzz/target.h"

namespace saccade::fuzz {
namespace {

using namespace http;

void read_head(const std::string& input) {
  RequestHead head;
  std::string why;
  const int status = parse_request_head(input, head, why);
  require(status == 0 || (status >= 400 && status < 600 && !why.empty()), "no reason");
  if (status != 0) return;
  require(!has_control(head.target), "a control character in the target");
  (void)percent_decoded(head.target);
  (void)head.wants_close();
  require(!(head.chunked && head.content_length), "two framings");
}

std::string unchunked(const std::string& input, size_t piece, ChunkedDecoder::State& state) {
  ChunkedDecoder decoder(1 << 20);
  std::string body;
  for (size_t at = 0; at < input.size() && !decoder.ended();) {
    const std::string_view rest = std::string_view(input).substr(at, piece);
    std::string_view content;
    const size_t taken = decoder.push(rest, content);
    require(taken <= rest.size(), "took more than there was");
    require(taken > 0 || decoder.ended(), "does not go on");
    body += content;
    at += taken;
  }
  state = decoder.state();
  return body;
}

// However the text is cut, it means the same.
void read_chunks(const std::string& input) {
  ChunkedDecoder::State whole, pieces;
  const std::string body = unchunked(input, std::string::npos, whole);
  require(body == unchunked(input, 1, pieces) && whole == pieces, "cuts change the body");
}

void inflate(const std::string& input) {
  constexpr size_t kMost = 100'000;
  Gunzip gunzip;
  std::string out;
  for (size_t at = 0; at < input.size(); at += 7) {
    if (gunzip.push(std::string_view(input).substr(at, 7), out, kMost) != Gunzip::Result::kOk)
      break;
  }
  require(out.size() <= kMost, "inflated beyond the limit");
}

void read_form(const std::string& input) {
  const auto parts = parse_multipart("multipart/form-data; boundary=xyz", input);
  if (!parts) return;
  for (const FormPart& part : *parts) {
    const bool inside = part.body.data() >= input.data() &&
                        part.body.data() + part.body.size() <= input.data() + input.size();
    require(inside, "a part outside of the form");
  }
  (void)parse_multipart(input, "--xyz\r\n\r\n--xyz--");
}

void read_body(const std::string& input) {
  const auto body = api::parse_body(input);
  if (!body) return require(!body.status().message().empty(), "no reason");
  const auto again = api::parse_body(api::to_text(*body));
  require(again.ok() && *again == *body, "writing and reading changes the value");
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::vector<Target> http_targets() {
  const std::string form =
      "--xyz\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--xyz\r\n"
      "Content-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n"
      "Content-Type: image/png\r\n\r\nabc\r\n--xyz--\r\n";
  const std::string chat =
      R"({"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\u00e4\ud83d\ude00"}]}],
          "temperature":0.5,"stop":["a","b"],"logit_bias":{"5":-1e2},"stream":true,"n":1})";
  return {
      {"head",
       {"POST /v1/x?a=%20b HTTP/1.1\r\nHost: a:80\r\nContent-Length: 12\r\nExpect: "
        "100-continue\r\n\r\n",
        "GET http://h/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\nHost: x\r\nConnection: "
        "close\r\n\r\n"},
       {"\r\n", "\n", ": ", "Content-Length: 18446744073709551616\r\n", "chunked", "%00", "%zz",
        "\t", "HTTP/1.1", "Transfer-Encoding: chunked, identity\r\n", "Host: "},
       read_head},
      {"chunks",
       {"5\r\nhello\r\n0\r\n\r\n", "A;x=y\r\n0123456789\r\n1\r\na\r\n0\r\nT: v\r\n\r\n"},
       {"\r\n", "0\r\n", "ffffffffffffffff\r\n", "100000\r\n", ";", "-1", "0x1"},
       read_chunks},
      {"gzip", {gzip(chat), gzip(std::string(90'000, 'a'))}, {"\x1f\x8b\x08"}, inflate},
      {"form",
       {form},
       {"--xyz", "--xyz--", "\r\n\r\n", "name=\"\"", "\\\"", "filename*=", ";"},
       read_form},
      {"body",
       {chat, "[1,-2.5e-7,true,null,{}]"},
       {"{", "}", "[", "]", ",", ":", "\"", "\\u", "\\ud800", "1e999", "-0", std::string(1, '\0'),
        "\xef\xbb\xbf"},
       read_body},
  };
}

}  // namespace saccade::fuzz
