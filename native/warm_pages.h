// SPDX-License-Identifier: Apache-2.0
// Which parts of the heap this process has page tables for, and a thread that makes more of them in the background.
//
// The first access to a page by a process costs a fault: a microsecond on bare metal, ten where a hypervisor shadows the page tables.
// Measured there: memcpy of 256 MiB into the shared mapping ran at 0.4 GB/s the first time and at 16 GB/s the second, and pwrite
// into the segment's file, which goes through the kernel's own mapping, at 7.9 GB/s the first time. So large copies into cold parts
// are written to the file (heap_copy.h), and parts that are written a second time are warmed here, off the caller's path, so that
// the third is a memcpy. Small objects, for which a system call does not pay, have the memory ahead of them warmed.
//
// The kernel's own first touch (finding and clearing the page) is done ahead too: one step of the heap is kept reserved and filled
// beyond what is in use, by the process that created the store and by those that use up the last one.
//
// Everything here is a hint: being wrong costs time and nothing else.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "segment.h"

namespace eagleray {

class WarmPages {
 public:
  static constexpr uint64_t kStep = 1 << 20;  // what is warm is known by parts of this size

  explicit WarmPages(Segment& segment);
  ~WarmPages();
  WarmPages(const WarmPages&) = delete;
  WarmPages& operator=(const WarmPages&) = delete;

  bool is_warm(uint64_t offset) const { return has(warm_, offset / kStep); }
  // A large copy is about to be written through the file to this part. Has it warmed when that happens for the second time.
  void written_cold(uint64_t offset);
  // A small object was written here: has this part and the next ones warmed.
  void ahead_of(uint64_t offset);
  // Has all of the heap warmed that is reserved.
  void all();
  // From now on a thread of this process warms what is wished for, and keeps memory reserved and filled beyond what it sees in use, which
  // is nothing yet. A process that will fork without exec does without.
  void start_warming() {
    is_started_.store(true, std::memory_order_relaxed);
    placed(0);
  }
  // Something was placed below `end`.
  void placed(uint64_t end) {
    if (end + kHeapStepBytes / 2 > reserved() && is_started_.load(std::memory_order_relaxed)) reserve_more();
  }

 private:
  using Bits = std::unique_ptr<std::atomic<uint64_t>[]>;
  static bool has(const Bits& bits, uint64_t step) { return (bits[step / 64].load(std::memory_order_relaxed) >> (step % 64) & 1) != 0; }
  // Whether it was set before.
  static bool set(const Bits& bits, uint64_t step);
  uint64_t reserved() const { return segment_.header().heap_backed.load(std::memory_order_acquire); }
  void want(uint64_t step);
  void reserve_more();
  // REQUIRES: mutex_ is held.
  void start();
  void run();
  void touch(uint64_t step);
  void fill(uint64_t from, uint64_t to);

  Segment& segment_;
  const uint64_t steps_;
  const int pid_;
  const Bits warm_;
  const Bits written_;  // once, while cold
  const Bits wanted_;   // ever given to the thread

  std::atomic<bool> is_started_{false};
  std::atomic<uint64_t> asked_{0};  // bytes from the start of the heap that the thread was asked to reserve

  std::mutex mutex_;  // guards everything below
  std::condition_variable wake_;
  std::deque<uint64_t> queue_;
  std::deque<std::pair<uint64_t, uint64_t>> unfilled_;  // ranges for fill()
  std::thread thread_;  // started with the first wish
  std::atomic<bool> stop_{false};
};

}  // namespace eagleray
