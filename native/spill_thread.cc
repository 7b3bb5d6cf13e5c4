// SPDX-License-Identifier: Apache-2.0
#include "spill_thread.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "allocator.h"
#include "client.h"
#include "segment_lock.h"
#include "spill.h"
#include "spill_files.h"
#include "store.h"

namespace eagleray {
namespace {

// Taken out at once: others of this process who need room at once wait for no more than this.
constexpr uint64_t kStepBytes = 16ull << 20;
// A look now and then, for rings missed at a death; and how many it lets pass at most after the disk refused.
constexpr int kLookMs = 1000;
constexpr int kLooksRestedMax = 31;

uint64_t share_of_heap(const Segment& segment, double share) {
  return static_cast<uint64_t>(static_cast<double>(segment.layout().heap_bytes) * share);
}

}  // namespace

bool is_filled_to_spill(const Segment& segment) { return segment.allocator().used_bytes > share_of_heap(segment, kSpillAboveShare); }

void wake_spill_thread(Segment& segment) { syscall(SYS_futex, &segment.spill().wanted, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

SpillThread::SpillThread(std::shared_ptr<Client> client)
    : client_(std::move(client)), pid_(getpid()), thread_([this] { run(); }) {}

SpillThread::~SpillThread() {
  if (pid_ != getpid()) {
    thread_.detach();
    return;
  }
  stop_.store(true);
  client_->segment().spill().wanted.fetch_or(1);
  wake_spill_thread(client_->segment());
  thread_.join();
}

void SpillThread::run() {
  std::atomic<uint32_t>& wanted = client_->segment().spill().wanted;
  // Looks to let pass before it spills again, and how many it was the last time that the disk refused.
  int rest = 0, rested = 0;
  while (!stop_.load()) {
    if (rest > 0) {
      rest--;
    } else {
      rested = spill_down() ? 0 : std::min(2 * rested + 1, kLooksRestedMax);
      rest = rested;
    }
    // Also while the disk refuses: what is deleted meanwhile may be all that it lacks.
    reclaim_disk(client_->segment(), client_->slot(), client_->generation(), false);
    // 0 before the sleep, so that the next who finds the store filled rings; while the disk refuses, nobody need.
    const uint32_t asleep = rest == 0 ? 0 : 1;
    wanted.store(asleep, std::memory_order_seq_cst);
    if (stop_.load()) return;
    const timespec limit{kLookMs / 1000, kLookMs % 1000 * 1000000L};
    syscall(SYS_futex, &wanted, FUTEX_WAIT, asleep, &limit, nullptr, 0);
  }
}

bool SpillThread::spill_down() {
  Store store(client_);
  Segment& segment = client_->segment();
  uint64_t excess = 0;
  {
    SegmentLock lock(segment, client_->slot(), client_->generation());
    if (!lock.ok() || !is_filled_to_spill(segment)) return true;
    excess = segment.allocator().used_bytes - share_of_heap(segment, kSpillDownToShare);
  }
  while (excess > 0 && !stop_.load()) {
    const Result<uint64_t> freed = spill_objects(store, std::min(excess, kStepBytes));
    if (!freed.ok()) return false;
    if (freed.value() == 0) return true;  // all that is left is viewed
    excess -= std::min(excess, freed.value());
  }
  return true;
}

}  // namespace eagleray
