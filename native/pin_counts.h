// SPDX-License-Identifier: Apache-2.0
// What one process remembers about its pins that the segment does not need to know.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "layout.h"

namespace eagleray {

struct PinCount {
  uint32_t pins : 31;
  uint32_t viewed : 1;  // one of them was for a view: the private mapping may hold what this process wrote
};

// How many pins this process holds of each entry. The segment has one bit for "at least one"; the bit changes only together
// with the count's step from or to 0, under the entry's stripe, so threads of one process never undo each other's bit.
class PinCounts {
 public:
  explicit PinCounts(uint32_t capacity);
  ~PinCounts();
  PinCounts(const PinCounts&) = delete;
  PinCounts& operator=(const PinCounts&) = delete;

  std::mutex& stripe(uint32_t entry) { return stripes_[entry % kStripes].mutex; }
  // REQUIRES: the entry's stripe is held.
  PinCount& count(uint32_t entry) { return counts_[entry]; }

  // Sum of the sizes of the objects that this process has pinned: told at each step of a count from and to 0.
  void came(uint64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  void went(uint64_t bytes) { bytes_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kStripes = 64;
  struct alignas(64) Stripe {
    std::mutex mutex;
  };
  Stripe stripes_[kStripes];
  uint32_t capacity_;
  std::atomic<uint64_t> bytes_{0};
  PinCount* counts_;  // zeroed pages of its own, touched as entries come into use
};

}  // namespace eagleray
