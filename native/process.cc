// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

namespace eagleray {

std::optional<uint64_t> process_start_time(uint32_t pid) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%" PRIu32 "/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  char text[1024];
  const ssize_t got = read(file, text, sizeof text - 1);
  close(file);
  if (got <= 0) return std::nullopt;
  text[got] = '\0';
  // Field 2 is the program's name in parentheses and may hold anything, also parentheses: count from the last one.
  const char* at = std::strrchr(text, ')');
  if (at == nullptr) return std::nullopt;
  char state = 0;
  long threads = 0;
  uint64_t start = 0;
  // Fields 3 (state), 20 (number of threads) and 22 (start).
  const int fields = std::sscanf(at + 1,
                                 " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %" SCNu64, &state, &threads,
                                 &start);
  if (fields != 3) return std::nullopt;
  // The first thread may be a zombie while others are still on their way out.
  if ((state == 'Z' || state == 'X') && threads <= 1) return std::nullopt;
  return start;
}

bool process_alive(uint32_t pid, uint64_t start_time) {
  const std::optional<uint64_t> found = process_start_time(pid);
  return found.has_value() && (start_time == 0 || *found == start_time);
}

}  // namespace eagleray
