// SPDX-License-Identifier: Apache-2.0
#include "secondaries.h"

#include <algorithm>
#include <vector>

#include "fault_points.h"
#include "object_table.h"
#include "reaper.h"
#include "segment_lock.h"
#include "waiters.h"

namespace eagleray {
namespace {

// Entries looked at in one hold of the lock: some microseconds.
constexpr uint32_t kScanStep = 512;

struct Dropped {
  uint64_t bytes = 0;
  std::vector<ObjectId> ids;
};

// REQUIRES: the segment lock is held; the state is `word`, sealed, and the entry is a secondary copy.
Status drop(Segment& segment, uint32_t index, uint64_t word, Dropped& dropped) {
  ObjectEntry& entry = segment.entry(index);
  entry.state.store(object_state::make(object_state::kEvicting, object_state::generation(word)), std::memory_order_seq_cst);
  EAGLERAY_FAULT("secondary.evicting");
  if (is_pinned(entry)) {
    entry.state.store(word, std::memory_order_seq_cst);
    return Status();
  }
  const ObjectId id = load_id(entry);
  const uint64_t bytes = block_bytes(entry.size.load(std::memory_order_relaxed));
  Status status = free_entry(segment, index);
  if (!status.ok()) return status;
  segment.spill().dropped_objects.fetch_add(1, std::memory_order_relaxed);
  dropped.bytes += bytes;
  dropped.ids.push_back(id);
  return Status();
}

// From the hand on, a step of the table. REQUIRES: the segment lock is held.
Status drop_some(Segment& segment, uint64_t bytes, Dropped& dropped) {
  const uint32_t end = segment.entry_end();
  uint32_t& hand = segment.spill().secondary_hand;
  for (uint32_t scanned = 0; scanned < std::min(kScanStep, end) && dropped.bytes < bytes; scanned++) {
    if (hand >= end) hand = 0;
    const uint32_t index = hand++;
    ObjectDetail& detail = segment.detail(index);
    if (detail.secondary == 0) continue;
    const ObjectEntry& entry = segment.entry(index);
    const uint64_t word = entry.state.load(std::memory_order_seq_cst);
    if (object_state::state(word) != object_state::kSealed || is_pinned(entry)) continue;
    if (detail.used.exchange(0, std::memory_order_relaxed) != 0) continue;
    Status status = drop(segment, index, word, dropped);
    if (!status.ok()) return status;
  }
  return Status();
}

bool is_secondary(const Segment& segment, uint32_t index) {
  const bool in_use = object_state::state(segment.entry(index).state.load(std::memory_order_acquire)) != object_state::kFree;
  return in_use && segment.detail(index).secondary != 0;
}

}  // namespace

Result<uint64_t> drop_secondaries(Client& client, uint64_t bytes) {
  Segment& segment = client.segment();
  Dropped dropped;
  Status status;
  for (uint64_t steps = 0; status.ok() && dropped.bytes < bytes; steps++) {
    SegmentLock lock(segment, client.slot(), client.generation());
    if (!lock.ok()) return lock.status();
    // Twice round: the first may spare everything.
    if (segment.spill().secondaries == 0 || steps > 2ull * segment.entry_end() / kScanStep + 1) break;
    status = drop_some(segment, bytes, dropped);
  }
  EAGLERAY_FAULT("secondary.before_bells");
  for (const ObjectId& id : dropped.ids) ring_waiters(client, id);
  if (!status.ok()) return status;
  return dropped.bytes;
}

void end_secondary(Segment& segment, uint32_t index) {
  ObjectDetail& detail = segment.detail(index);
  if (detail.secondary == 0) return;
  detail.secondary = 0;
  EAGLERAY_FAULT("secondary.ended");
  uint32_t& count = segment.spill().secondaries;
  if (count > 0) count--;
}

void recount_secondaries(Segment& segment) { segment.spill().secondaries = count_secondaries(segment); }

uint32_t count_secondaries(const Segment& segment) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < segment.entry_end(); i++) count += is_secondary(segment, i);
  return count;
}

}  // namespace eagleray
