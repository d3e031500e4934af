#include "engine/runtime/encoder_outputs.h"

#include <c10/util/Exception.h>

#include <algorithm>

namespace saccade {
namespace {

// The library's own errors carry a backtrace.
std::string reason(const std::exception& error) {
  const auto* of_library = dynamic_cast<const c10::Error*>(&error);
  return of_library != nullptr ? of_library->what_without_backtrace() : error.what();
}

}  // namespace

EncoderOutputs::Report EncoderOutputs::update(const Batch& batch, VisionLanguageModel& model) {
  for (const ContentHash& key : batch.evict) outputs_.erase(key);
  for (const ContentHash& picture : batch.evict_towers) towers_.erase(picture);
  if (batch.encode.empty()) return {};
  const TimePoint start = Clock::now();
  Report report;
  try {
    run(batch.encode, model);
  } catch (const std::exception&) {
    for (const EncodeTask& task : batch.encode) {
      try {
        run({&task, 1}, model);
      } catch (const std::exception& error) {
        report.failures.push_back(reason(error));
        outputs_.erase(task.input->key);
      }
    }
  }
  const auto count = static_cast<double>(batch.encode.size());
  report.seconds.assign(batch.encode.size(), seconds_since(start) / count);
  return report;
}

const at::Tensor* EncoderOutputs::find(const ContentHash& key) const {
  const auto found = outputs_.find(key);
  return found == outputs_.end() ? nullptr : &found->second;
}

void EncoderOutputs::run(std::span<const EncodeTask> tasks, VisionLanguageModel& model) {
  std::vector<const EncoderInput*> inputs;
  for (const EncodeTask& task : tasks) inputs.push_back(task.input);
  const bool whole = std::all_of(tasks.begin(), tasks.end(), [](const EncodeTask& task) {
    return task.tower == Tower::kPassing;
  });
  const std::vector<at::Tensor> rows =
      whole ? model.encode(inputs) : model.connect(inputs, towers(tasks, model));
  for (size_t i = 0; i < inputs.size(); ++i) outputs_[inputs[i]->key] = rows[i].clone();
}

// The tower's output for each task. It runs once for each picture that is not there.
std::vector<at::Tensor> EncoderOutputs::towers(std::span<const EncodeTask> tasks,
                                               VisionLanguageModel& model) {
  std::vector<const EncoderInput*> unseen;
  std::unordered_map<ContentHash, at::Tensor> known;  // of these tasks' pictures
  for (const EncodeTask& task : tasks) {
    const ContentHash& picture = task.input->media->hash;
    const auto kept = towers_.find(picture);
    const bool first =
        known.emplace(picture, kept == towers_.end() ? at::Tensor() : kept->second).second;
    if (first && kept == towers_.end()) unseen.push_back(task.input);
  }
  if (!unseen.empty()) {
    const std::vector<at::Tensor> made = model.tower(unseen);
    for (size_t i = 0; i < unseen.size(); ++i) known[unseen[i]->media->hash] = made[i];
  }
  std::vector<at::Tensor> each;
  for (const EncodeTask& task : tasks) {
    const ContentHash& picture = task.input->media->hash;
    each.push_back(known.at(picture));
    if (task.tower == Tower::kKept) towers_[picture] = each.back().clone();
  }
  return each;
}

}  // namespace saccade
