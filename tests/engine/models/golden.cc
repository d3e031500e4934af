#include "tests/engine/models/golden.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "engine/core/grid_positions.h"
#include "engine/runtime/device.h"
#include "engine/runtime/kv_cache.h"

namespace saccade::testing {
namespace {

std::vector<TokenId> ids_of(const JsonView& view, std::string_view key) {
  const std::vector<int> ids = view.int_list(key);
  return {ids.begin(), ids.end()};
}

GoldenCase parse_case(const JsonView& view, int index) {
  GoldenCase c;
  c.index = index;
  c.name = view.string("name");
  c.input_ids = ids_of(view, "input_ids");
  c.qformer_ids = ids_of(view, "qformer_input_ids");
  c.greedy_ids = ids_of(view, "greedy_ids");
  for (const double x : view.number_list("chosen_logprobs")) {
    c.chosen_logprobs.push_back(static_cast<float>(x));
  }
  for (const std::vector<int>& span : view.int_lists("spans")) {
    // The third and fourth number are there where a picture has several spans, then its grid; the
    // last where its tokens are looked at from within.
    const int media = span.size() > 2 ? span[2] : static_cast<int>(c.spans.size());
    MediaSpan& read =
        c.spans.emplace_back(MediaSpan{span[0], span[1], media, span.size() > 2 ? span[3] : 0});
    if (span.size() > 4) read.grid = {.rows = span[4], .columns = span[5]};
    if (span.size() > 6) read.memory_rows = span[6];
  }
  if (view.has("frame_steps")) {
    const std::vector<double> steps = view.number_list("frame_steps");
    const std::vector<int> extents = view.int_list("extents");
    for (MediaSpan& span : c.spans) {
      span.grid.frame_step = static_cast<float>(steps[span.media]);
      span.grid.extent = extents[span.media];
    }
  }
  if (view.has("parts")) c.parts = view.int_list("parts");
  if (view.has("kinds")) {
    for (const Json& kind : *view.find("kinds")->array()) c.videos += *kind.string() == "video";
  }
  if (view.has("grids")) c.grids = view.int_lists("grids");
  for (const Json& step : *view.find("top_logprobs")->array()) {
    auto& best = c.top_logprobs.emplace_back();
    for (const Json& pair : *step.array()) {
      best.emplace_back(static_cast<TokenId>(*(*pair.array())[0].integer()),
                        static_cast<float>(*(*pair.array())[1].number()));
    }
  }
  return c;
}

}  // namespace

std::filesystem::path Golden::root() { return "tests/golden"; }

std::vector<std::string> Golden::names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(root())) {
    if (std::filesystem::exists(entry.path() / "golden.json")) {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Golden::Golden(const std::string& name) : name_(name), file_(root() / name / "golden.safetensors") {
  const JsonFile json(root() / name / "golden.json");
  int index = 0;
  for (const Json& one : *json.root().find("cases")->array()) {
    cases_.push_back(parse_case(JsonView(one, "golden.json: case"), index));
    ++index;
  }
}

bool Golden::has(const std::string& key) const {
  return std::any_of(file_.tensors().begin(), file_.tensors().end(),
                     [&](const TensorView& view) { return view.name == key; });
}

at::Tensor Golden::tensor(const GoldenCase& c, const std::string& key) const {
  const std::string name = full(c, key);
  for (const TensorView& view : file_.tensors()) {
    if (view.name != name) continue;
    const at::ScalarType dtype = view.dtype == TensorDtype::kI64 ? at::kLong : at::kFloat;
    at::Tensor out = at::empty(view.shape, at::dtype(dtype));
    std::memcpy(out.data_ptr(), view.data, view.bytes);
    return out;
  }
  throw std::out_of_range("golden.safetensors has no " + name);
}

// The parts of each picture, [3, height, width]: of one tensor where all have one size, of one for
// each picture, or of one for each part.
std::vector<std::vector<at::Tensor>> Golden::pictures(const GoldenCase& c) const {
  std::vector<std::vector<at::Tensor>> found;
  if (has(c, "pixel_values")) {
    const at::Tensor all = tensor(c, "pixel_values");
    const std::vector<int64_t> ones(static_cast<size_t>(all.size(0)), 1);
    const std::vector<int64_t> parts(c.parts.begin(), c.parts.end());
    for (const at::Tensor& one : all.split_with_sizes(parts.empty() ? ones : parts)) {
      found.push_back(one.unbind(0));
    }
    return found;
  }
  for (size_t i = 0; i < c.parts.size(); ++i) {
    const std::string name = "pixel_values." + std::to_string(i);
    if (has(c, name)) {
      found.push_back(tensor(c, name).unbind(0));
      continue;
    }
    found.emplace_back();
    for (int part = 0; part < c.parts[i]; ++part) {
      found.back().push_back(tensor(c, name + "." + std::to_string(part)));
    }
  }
  return found;
}

std::shared_ptr<MediaItem> Golden::item(const std::vector<at::Tensor>& parts) {
  auto item = std::make_shared<MediaItem>();
  item->frames = static_cast<int>(parts.size());
  item->height = static_cast<int>(parts.back().size(1));
  item->width = static_cast<int>(parts.back().size(2));
  const bool differ = std::any_of(parts.begin(), parts.end(), [&](const at::Tensor& part) {
    return part.sizes() != parts.back().sizes();
  });
  for (const at::Tensor& part : parts) {
    const at::Tensor whole = part.contiguous();
    const float* data = whole.const_data_ptr<float>();
    item->pixels.insert(item->pixels.end(), data, data + whole.numel());
    if (!differ) continue;
    item->part_sizes.push_back({static_cast<int>(part.size(1)), static_cast<int>(part.size(2))});
  }
  return item;
}

std::vector<EncoderInput> Golden::media(const GoldenCase& c) const {
  std::vector<EncoderInput> inputs;
  const std::vector<std::vector<at::Tensor>> all = pictures(c);
  for (size_t i = 0; i < all.size(); ++i) {
    const std::shared_ptr<MediaItem> media = item(all[i]);
    if (i + static_cast<size_t>(c.videos) >= all.size()) media->kind = MediaKind::kVideo;
    if (i < c.grids.size()) {
      media->rows = c.grids[i][0];
      media->columns = c.grids[i][1];
      media->original_height = c.grids[i][2];
      media->original_width = c.grids[i][3];
    }
    EncoderInput input;
    input.media = media;
    input.instruction = c.qformer_ids;
    // Unique to the folder's picture and instruction: tests need equality, not secrecy.
    const std::string text = name_ + std::to_string(c.index) + "/" + std::to_string(i);
    std::copy_n(text.begin(), std::min<size_t>(text.size(), 32), input.key.bytes.begin());
    inputs.push_back(input);
  }
  return inputs;
}

std::vector<at::Tensor> Golden::visual_tokens(const GoldenCase& c) const {
  std::vector<int64_t> lengths;
  for (const MediaSpan& span : c.spans) {
    lengths.resize(std::max(lengths.size(), size_t(span.media) + 1));
    lengths[span.media] += span.length;
  }
  const at::Tensor all = tensor(c, "connector");
  return all.reshape({-1, all.size(-1)}).split_with_sizes(lengths);
}

GoldenWeights::GoldenWeights(const Golden& golden, at::ScalarType dtype)
    : folder(golden.folder()),
      family(find_family(folder)),
      map(std::make_shared<const Checkpoint>(golden.folder()), family.renames, dtype,
          test_device()) {}

at::Device test_device() {
  multiply_exactly();
  const char* name = std::getenv("SACCADE_TEST_DEVICE");
  return name != nullptr && std::string(name) == "cuda" ? at::Device(at::kCUDA, 0)
                                                        : at::Device(at::kCPU);
}

double max_abs(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) {
    throw std::invalid_argument("shapes differ: " + shape_text(a.sizes().vec()) + " and " +
                                shape_text(b.sizes().vec()));
  }
  return (a.to(at::kCPU, at::kDouble) - b.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

void report(std::string_view stage, const Golden& golden, double deviation) {
  const char* file = std::getenv("SACCADE_GOLDEN_REPORT");
  if (file == nullptr) return;
  std::ofstream(file, std::ios::app) << stage << ' ' << golden.name() << ' ' << deviation << '\n';
}

at::Tensor prefill(VisionLanguageModel& model, const GoldenCase& c,
                   const std::vector<at::Tensor>& visual, at::ScalarType dtype) {
  constexpr int kBlockSize = 4;
  const auto length = static_cast<int>(c.input_ids.size());
  const int num_blocks = length / kBlockSize + 1;
  KVCache cache = make_kv_cache(model.cache_shape(), num_blocks, kBlockSize, dtype, test_device());
  // Blocks in reverse: a block table that happens to be the identity would hide a mix-up.
  std::vector<int32_t> blocks(num_blocks);
  for (int i = 0; i < num_blocks; ++i) blocks[i] = num_blocks - 1 - i;
  AttentionInput input;
  input.block_size = kBlockSize;
  input.sequences = {{0, length, length, blocks.data()}};
  at::Tensor ids = at::tensor(c.input_ids, at::kInt);
  GridPositions places(c.spans, length);
  for (int p = 0; p < length; ++p) {
    input.slots.push_back(int64_t{blocks[p / kBlockSize]} * kBlockSize + p % kBlockSize);
    input.positions.push_back({places.at(p), p, length, length});
  }
  input.device = upload_layout({}, input, test_device());
  if (!c.spans.empty()) input.with_media.push_back({0, length});
  for (const MediaSpan& span : c.spans) {
    if (!span.looks()) ids.narrow(0, span.position, span.length).zero_();
  }
  at::Tensor h = model.embed(ids.to(test_device()));
  for (const MediaSpan& span : c.spans) {
    if (span.looks()) {
      input.memories.push_back({span.position, span.length, visual[span.media]});
      continue;
    }
    h.narrow(0, span.position, span.length)
        .copy_(visual[span.media].narrow(0, span.offset, span.length));
  }
  return model.forward(h, input, cache);
}

}  // namespace saccade::testing
