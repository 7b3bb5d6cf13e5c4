// SPDX-License-Identifier: Apache-2.0
#include "fault_points.h"

#ifdef EAGLERAY_FAULT_POINTS

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>

namespace eagleray {
namespace {
std::atomic<const char*> selected{nullptr};
std::atomic<int> remaining{0};
}  // namespace

void select_fault(const char* name, int nth) {
  remaining.store(nth);
  selected.store(name);
}

void fault_point(const char* name) {
  const char* wanted = selected.load(std::memory_order_relaxed);
  if (wanted == nullptr || std::strcmp(wanted, name) != 0) return;
  if (remaining.fetch_sub(1) == 1) kill(getpid(), SIGKILL);
}

}  // namespace eagleray

#endif
