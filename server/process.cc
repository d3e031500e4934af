#include "server/process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>

namespace saccade {
namespace {

// Descriptors that are not connections: fetched pictures, a refused connection, what loading opens.
constexpr int kSpareDescriptors = 24;

int open_descriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator all("/proc/self/fd", error);
  return error ? 16 : static_cast<int>(std::distance(begin(all), end(all)));
}

}  // namespace

void open_standard_streams() {
  for (int fd = 0; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) (void)::open("/dev/null", O_RDWR);  // takes the lowest number
  }
}

void tell_of_cut_files() {
  ::signal(SIGBUS, [](int) {
    constexpr std::string_view kMessage =
        "saccade: a file of the model became shorter while it was read\n";
    (void)!::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    ::_exit(1);
  });
}

int connections_within_limit(int wanted) {
  const rlim_t needed = static_cast<rlim_t>(wanted + open_descriptors() + kSpareDescriptors);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return wanted;
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return wanted;
  return std::max(1, wanted - static_cast<int>(needed - limit.rlim_cur));
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

}  // namespace saccade
