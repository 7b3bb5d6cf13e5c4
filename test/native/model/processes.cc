// SPDX-License-Identifier: Apache-2.0
// Which of the explorer's processes live, in place of native/process.cc; and no thread that warms pages, which is a hint by
// definition, in place of native/warm_pages.cc.
#include "process.h"
#include "warm_pages.h"

namespace eagleray {

std::optional<uint64_t> process_start_time(uint32_t pid) {
  if (model::pid_is_dead(pid)) return std::nullopt;
  return 1;
}

bool process_alive(uint32_t pid, uint64_t) { return !model::pid_is_dead(pid); }

WarmPages::WarmPages(Segment& segment) : segment_(segment), steps_(1), pid_(0), warm_(new std::atomic<uint64_t>[1]()) {}
WarmPages::~WarmPages() = default;
void WarmPages::written_cold(uint64_t) {}
void WarmPages::ahead_of(uint64_t) {}
void WarmPages::all() {}
void WarmPages::reserve_more() {}

}  // namespace eagleray
