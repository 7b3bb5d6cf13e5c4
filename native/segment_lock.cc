// SPDX-License-Identifier: Apache-2.0
#include "segment_lock.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fault_points.h"
#include "full_fence.h"
#include "process.h"
#include "recovery.h"

namespace eagleray {
namespace {

constexpr uint32_t kWaiters = 1u << 31;
constexpr uint32_t kSlotMask = 1023;
constexpr uint32_t kGenerationMask = 0x1fffff;
// About a microsecond: longer than most sections, shorter than a sleep and a wake-up.
constexpr int kSpins = 40;

uint32_t word_of(uint32_t slot, uint32_t generation) { return (slot + 1) | (generation & kGenerationMask) << 10; }

void futex_wait(std::atomic<uint32_t>& word, uint32_t expected) {
  const timespec limit{0, kHolderCheckMs * 1000000L};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

void futex_wake_one(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0); }

// A word that names no client of the segment has no living holder either.
bool holder_alive(const Segment& segment, uint32_t word) {
  const uint32_t slot = (word & kSlotMask) - 1;
  if (slot >= kMaxClients) return false;
  const ClientRecord& record = segment.client(slot);
  const uint64_t state = record.state.load(std::memory_order_acquire);
  if (client_state::state(state) == client_state::kFree) return false;
  if ((client_state::generation(state) & kGenerationMask) != (word >> 10 & kGenerationMask)) return false;
  return process_alive(client_state::pid(state), record.start_time.load(std::memory_order_acquire));
}

}  // namespace

SegmentLock::SegmentLock(Segment& segment, uint32_t slot, uint32_t generation) : segment_(segment) {
  const uint32_t mine = word_of(slot, generation);
  std::atomic<uint32_t>& word = segment.header().lock;
  uint32_t seen = 0;
  for (int spin = 0; !held_ && spin < kSpins; spin++) {
    if (seen == 0 && word.compare_exchange_weak(seen, mine, std::memory_order_acquire, std::memory_order_relaxed)) held_ = true;
    if (!held_) {
      spin_pause();
      seen = word.load(std::memory_order_relaxed);
    }
  }
  if (!held_) lock_slowly(mine);
  EAGLERAY_FAULT("lock.taken");
  SegmentHeader& header = segment.header();
  if (took_over_ || (header.rebuild.load(std::memory_order_relaxed) & 1) != 0) {
    status_ = rebuild_after_death(segment);
  } else if (header.corrupt.load(std::memory_order_relaxed) != 0) {
    status_ = Status(Code::kStoreCorrupt, "store " + segment.directory() + ": found corrupt earlier");
  }
  if (!status_.ok()) unlock();
}

void SegmentLock::lock_slowly(uint32_t mine) {
  std::atomic<uint32_t>& word = segment_.header().lock;
  uint32_t seen = word.load(std::memory_order_relaxed);
  while (true) {
    if (seen == 0) {
      // Others may be asleep still: the mark stays on, at worst for one needless wake-up.
      if (word.compare_exchange_weak(seen, mine | kWaiters, std::memory_order_acquire, std::memory_order_relaxed)) break;
      continue;
    }
    if ((seen & kWaiters) == 0 && !word.compare_exchange_weak(seen, seen | kWaiters, std::memory_order_relaxed)) continue;
    EAGLERAY_FAULT("lock.waiting");
    const uint32_t watched = seen | kWaiters;
    futex_wait(word, watched);
    seen = word.load(std::memory_order_relaxed);
    // The same holder for the whole wait: slow, stopped, or dead. The generation in the word tells a later holder in its slot.
    if (seen != watched || holder_alive(segment_, watched)) continue;
    if (word.compare_exchange_strong(seen, mine | kWaiters, std::memory_order_acquire, std::memory_order_relaxed)) {
      took_over_ = true;
      EAGLERAY_FAULT("lock.took_over");
      break;
    }
  }
  held_ = true;
}

SegmentLock::~SegmentLock() { unlock(); }

void SegmentLock::unlock() {
  if (!held_) return;
  EAGLERAY_FAULT("lock.before_release");
  held_ = false;
  std::atomic<uint32_t>& word = segment_.header().lock;
  const uint32_t was = word.exchange(0, std::memory_order_release);
  EAGLERAY_FAULT("lock.released");
  if ((was & kWaiters) != 0) futex_wake_one(word);
}

}  // namespace eagleray
