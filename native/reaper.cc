// SPDX-License-Identifier: Apache-2.0
#include "reaper.h"

#include <algorithm>
#include <bit>

#include "allocator.h"
#include "fault_points.h"
#include "hooks.h"
#include "object_table.h"
#include "process.h"
#include "secondaries.h"
#include "segment_lock.h"
#include "spill_files.h"
#include "waiters.h"

namespace eagleray {
namespace {

// Entries looked at in one hold of the lock: some microseconds.
constexpr uint32_t kScanStep = 256;

// Gives back what the client holds of one entry. REQUIRES: the segment lock is held.
Status give_back_entry(Segment& segment, uint32_t index, uint32_t slot, uint32_t generation) {
  ObjectEntry& entry = segment.entry(index);
  std::atomic<uint64_t>& pins = entry.pins[slot / 64];
  const uint64_t bit = 1ull << (slot % 64);
  if ((pins.load(std::memory_order_relaxed) & bit) != 0) {
    pins.fetch_and(~bit, std::memory_order_seq_cst);
    EAGLERAY_FAULT("reap.unpinned");
  }
  const uint64_t word = entry.state.load(std::memory_order_seq_cst);
  const uint64_t state = object_state::state(word);
  if (state == object_state::kCreating && entry.creator_slot == slot && entry.creator_generation == generation) {
    return free_entry(segment, index);
  }
  if (state == object_state::kRestoring && segment.detail(index).restorer_slot == slot &&
      segment.detail(index).restorer_generation == generation) {
    return undo_restore(segment, index);
  }
  // Whoever it was that died before freeing it.
  if (state == object_state::kDeleting) return free_if_unpinned(segment, index, object_state::generation(word));
  return Status();
}

}  // namespace

bool is_pinned(const ObjectEntry& entry) {
  uint64_t any = 0;
  for (const std::atomic<uint64_t>& word : entry.pins) any |= word.load(std::memory_order_seq_cst);
  return any != 0;
}

Status free_entry(Segment& segment, uint32_t index) {
  const bool in_heap = segment.entry(index).offset.load(std::memory_order_relaxed) != kNowhere;
  const uint32_t block = segment.entry(index).block;
  // The entry first: from then on the memory belongs to nobody, which a rebuild finds by itself.
  Status status = ObjectTable(segment).remove(index);
  if (!status.ok()) return status;
  end_secondary(segment, index);
  SpillFiles(segment).detach(index);
  return in_heap ? Allocator(segment).free(block) : Status();
}

Status undo_restore(Segment& segment, uint32_t index) {
  ObjectEntry& entry = segment.entry(index);
  const uint64_t generation = object_state::generation(entry.state.load(std::memory_order_relaxed));
  const uint32_t block = entry.block;
  entry.state.store(object_state::make(object_state::kSpilled, generation), std::memory_order_seq_cst);
  EAGLERAY_FAULT("restore.undone");
  entry.offset.store(kNowhere, std::memory_order_relaxed);
  entry.block = kNone;
  return Allocator(segment).free(block);
}

Status free_if_unpinned(Segment& segment, uint32_t index, uint64_t generation) {
  const ObjectEntry& entry = segment.entry(index);
  const uint64_t wanted = object_state::make(object_state::kDeleting, generation);
  if (entry.state.load(std::memory_order_seq_cst) != wanted || is_pinned(entry)) return Status();
  return free_entry(segment, index);
}

Status give_back_client(Client& by, uint32_t slot, uint32_t generation, bool died) {
  Segment& segment = by.segment();
  ClientRecord& record = segment.client(slot);
  uint64_t word = record.state.load(std::memory_order_acquire);
  const uint64_t reaping = client_state::make(client_state::kReaping, generation, client_state::pid(word));
  const auto still_its = [&record, &reaping] { return record.state.load(std::memory_order_acquire) == reaping; };
  if (word != reaping) {
    if (client_state::generation(word) != generation || client_state::state(word) == client_state::kFree) return Status();
    if (!record.state.compare_exchange_strong(word, reaping, std::memory_order_acq_rel) && word != reaping) return Status();
  }
  EAGLERAY_FAULT("reap.marked");
  if (store_hooks().client_gone != nullptr) store_hooks().client_gone(by, slot, died);
  EAGLERAY_FAULT("reap.channels");

  uint32_t next = 0;
  for (bool more = true; more;) {
    SegmentLock lock(segment, by.slot(), by.generation());
    if (!lock.ok()) return lock.status();
    // Another reaper may have finished, and the slot may have a new client, whose pins are not ours to clear.
    if (!still_its()) return Status();
    const uint32_t end = std::min(next + kScanStep, segment.entry_end());
    for (; next < end; next++) {
      Status status = give_back_entry(segment, next, slot, generation);
      if (!status.ok()) return status;
    }
    more = next < segment.entry_end();
  }
  EAGLERAY_FAULT("reap.scanned");
  // It may have died anywhere between a seal and the bells: everyone looks again.
  if (died) rouse_all(by);
  EAGLERAY_FAULT("reap.roused");
  SegmentLock lock(segment, by.slot(), by.generation());
  if (!lock.ok()) return lock.status();
  if (!still_its()) return Status();
  clear_waiter(segment, slot);
  SpillFiles(segment).close_of(slot, generation);
  record.start_time.store(0, std::memory_order_release);
  // The caller's own lock word stands for a slot in use: let go of it first when the slot is its own.
  if (slot == by.slot()) lock.unlock();
  EAGLERAY_FAULT("reap.before_end");
  record.state.store(client_state::make(client_state::kFree, generation, 0), std::memory_order_release);
  EAGLERAY_FAULT("reap.freed");
  return Status();
}

Result<bool> reap_client(Client& by, uint32_t slot) {
  if (slot >= kMaxClients) return Status(Code::kInvalidArgument, "reap: there is no client slot " + std::to_string(slot));
  if (slot == by.slot()) return false;
  const ClientRecord& record = by.segment().client(slot);
  const uint64_t word = record.state.load(std::memory_order_acquire);
  if (client_state::state(word) == client_state::kFree) return false;
  const uint64_t start_time = record.start_time.load(std::memory_order_acquire);
  if (process_alive(client_state::pid(word), start_time)) return false;
  // The record may have changed hands since it was read; then it was not this client that is gone.
  if (record.state.load(std::memory_order_acquire) != word) return false;
  Status status = give_back_client(by, slot, client_state::generation(word), true);
  if (!status.ok()) return status;
  return true;
}

Result<std::vector<uint32_t>> reap_dead_clients(Client& by) {
  std::vector<uint32_t> reaped;
  for (uint32_t slot = 0; slot < kMaxClients; slot++) {
    Result<bool> gone = reap_client(by, slot);
    if (!gone.ok()) return gone.status();
    if (gone.value()) reaped.push_back(slot);
  }
  return reaped;
}

}  // namespace eagleray
