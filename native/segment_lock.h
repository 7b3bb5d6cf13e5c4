// SPDX-License-Identifier: Apache-2.0
// The one lock of a segment: guards inserting and freeing entries, and the allocator. Held for well under a microsecond.
//
// A futex word of our own and not a robust pthread mutex: the word names the holder's client slot and generation, so it means
// the same to every language and C library, costs one compare-and-swap, and garbage in it is harmless. Whoever waits for more
// than kHolderCheckMs looks whether the holder is alive; if not, takes the lock over and rebuilds what it guards from the
// object table (recovery.h), so a holder may die at any instruction.
#pragma once

#include <cstdint>

#include "segment.h"
#include "status.h"

namespace eagleray {

inline constexpr int kHolderCheckMs = 2;

// Holds the lock while it lives, unless ok() is false (the segment is corrupt).
// Threads: one guard a thread; the lock does not nest.
class SegmentLock {
 public:
  // As the client in `slot`, whose record carries `generation`.
  SegmentLock(Segment& segment, uint32_t slot, uint32_t generation);
  ~SegmentLock();
  SegmentLock(const SegmentLock&) = delete;
  SegmentLock& operator=(const SegmentLock&) = delete;

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  // Lets go early.
  void unlock();

 private:
  void lock_slowly(uint32_t mine);

  Segment& segment_;
  bool held_ = false;
  bool took_over_ = false;
  Status status_;
};

}  // namespace eagleray
