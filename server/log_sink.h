#pragma once

#include <poll.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <mutex>
#include <string>

namespace saccade {

// Writes lines to stderr as long as it takes them. Nobody waits for whoever reads (or does not
// read) a pipe there: lines that it has no room for are left out and counted.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (!has_room()) {
      ++dropped_;
      return;
    }
    if (dropped_ > 0) {
      write("(" + std::to_string(dropped_) + " messages were left out: nobody read them)\n");
      dropped_ = 0;
      if (!has_room()) return void(++dropped_);
    }
    write({line.data(), line.size()});
  }
  void flush_() override {}

 private:
  // A pipe that can be written has room for PIPE_BUF bytes; a longer line is cut there.
  static constexpr size_t kLongestLine = 4096;

  static bool has_room() {
    pollfd stderr_now{STDERR_FILENO, POLLOUT, 0};
    return ::poll(&stderr_now, 1, 0) == 1;
  }
  static void write(std::string_view line) {
    (void)!::write(STDERR_FILENO, line.data(), std::min(line.size(), kLongestLine));
  }

  size_t dropped_ = 0;
};

}  // namespace saccade
