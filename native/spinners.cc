// SPDX-License-Identifier: Apache-2.0
#include "spinners.h"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstdio>

namespace eagleray {
namespace {

// The quota of control groups v2 in cores, rounded up; `otherwise` when there is none.
int quota_cores(int otherwise) {
  std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "re");
  if (file == nullptr) return otherwise;
  long long quota = 0;
  long long period = 0;
  const int fields = std::fscanf(file, "%lld %lld", &quota, &period);  // "max 100000" gives 0 fields
  std::fclose(file);
  if (fields != 2 || quota <= 0 || period <= 0) return otherwise;
  return static_cast<int>(std::clamp<long long>((quota + period - 1) / period, 1, otherwise));
}

int count_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return quota_cores(std::max(1, allowed));
}

}  // namespace

int usable_cores() {
  static const int cores = count_cores();
  return cores;
}

int spinners_max() { return std::max(1, usable_cores() - 1); }

bool begin_spin(ChannelRegion region, uint32_t slot, int most) {
  auto& words = region.header().spinning;
  const uint64_t mine = uint64_t{1} << (slot % 64);
  std::atomic<uint64_t>& word = words[slot / 64];
  if ((word.load(std::memory_order_relaxed) & mine) != 0) return true;
  int others = 0;
  for (const auto& each : words) others += std::popcount(each.load(std::memory_order_relaxed));
  if (others >= most) return false;
  word.fetch_or(mine, std::memory_order_relaxed);  // two at once may pass `most` by one for a moment: harmless
  return true;
}

void end_spin(ChannelRegion region, uint32_t slot) {
  const uint64_t mine = uint64_t{1} << (slot % 64);
  std::atomic<uint64_t>& word = region.header().spinning[slot / 64];
  if ((word.load(std::memory_order_relaxed) & mine) != 0) word.fetch_and(~mine, std::memory_order_relaxed);
}

}  // namespace eagleray
