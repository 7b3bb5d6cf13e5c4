// SPDX-License-Identifier: Apache-2.0
// How objects are read and go: look-up, pins, views, deletion.
//
// A pin and a deletion race without a lock. The reader sets its bit and then looks at the state again; the deleter sets the state
// and then looks at the bits (both seq_cst). So either the reader sees the deletion and takes its bit back, or the deleter sees the
// bit and leaves the freeing to whoever clears the last one.
#include <time.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "fault_points.h"
#include "full_fence.h"
#include "object_table.h"
#include "reaper.h"
#include "segment_lock.h"
#include "spill_thread.h"
#include "store.h"
#include "waiters.h"

namespace eagleray {
namespace {

bool within_heap(const Segment& segment, uint64_t offset, uint64_t size) {
  const uint64_t heap_bytes = segment.layout().heap_bytes;
  return size <= heap_bytes && offset <= heap_bytes - size;
}

// Bytes that may be changing under us: the caller finds out afterwards. Word by word, since nothing else may be assumed of them.
__attribute__((no_sanitize("thread"))) void copy_unsettled(std::byte* target, const std::byte* source, uint64_t length) {
  uint64_t at = 0;
  for (; at + 8 <= length; at += 8) {
    const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(source + at), __ATOMIC_RELAXED);
    __builtin_memcpy(target + at, &word, 8);
  }
  for (; at < length; at++) target[at] = static_cast<std::byte>(__atomic_load_n(reinterpret_cast<const uint8_t*>(source + at), __ATOMIC_RELAXED));
}

uint32_t now_seconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return static_cast<uint32_t>(now.tv_sec);
}

}  // namespace

FoundEntry Store::find(const ObjectId& id) {
  bool settled = false;
  const FoundEntry found = ObjectTable(segment()).find_present(id, &settled);
  if (settled) return found;
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return {};
  const Result<FoundEntry> current = ObjectTable(segment()).find_current(id);
  if (!current.ok() || !object_state::is_present(current.value().word)) return {};
  return current.value();
}

// On success the entry is in the state that the word says, and stays in the heap as long as the pin, if that is where it is.
Result<Store::Pin> Store::pin(const ObjectId& id) {
  while (true) {
    const FoundEntry found = find(id);
    if (found.index == kNone) return Status(Code::kObjectNotFound);
    ObjectEntry& entry = segment().entry(found.index);
    std::atomic<uint64_t>& pins = entry.pins[client_->slot() / 64];
    const uint64_t bit = 1ull << (client_->slot() % 64);
    uint64_t word = 0;
    bool is_sane = true;
    {
      std::lock_guard<std::mutex> stripe(client_->pins().stripe(found.index));
      PinCount& count = client_->pins().count(found.index);
      if (count.pins == 0) pins.fetch_or(bit, std::memory_order_seq_cst);
      EAGLERAY_FAULT("view.pinned");
      word = entry.state.load(std::memory_order_seq_cst);
      const bool in_heap = object_state::state(word) == object_state::kSealed;
      is_sane = !in_heap || within_heap(segment(), entry.offset.load(std::memory_order_relaxed), entry.size.load(std::memory_order_relaxed));
      if (word == found.word && is_sane) {
        if (count.pins == 0) {
          segment().detail(found.index).pinned_seconds.store(now_seconds(), std::memory_order_relaxed);
          client_->pins().came(entry.size.load(std::memory_order_relaxed));
        }
        count.pins++;
        count.viewed |= in_heap;
        EAGLERAY_FAULT("view.counted");
        return Pin{found.index, word};
      }
      if (count.pins == 0) pins.fetch_and(~bit, std::memory_order_seq_cst);
    }
    if (word == found.word) return Status(Code::kStoreCorrupt, "object " + to_hex(id) + " lies outside the heap");
    // Deleted or moved in between. The deleter may have seen our bit and left the rest to us.
    word = entry.state.load(std::memory_order_seq_cst);
    if (object_state::state(word) == object_state::kDeleting) free_if_last(found.index, object_state::generation(word));
  }
}

void Store::unpin(uint32_t index, uint64_t generation) {
  ObjectEntry& entry = segment().entry(index);
  {
    std::lock_guard<std::mutex> stripe(client_->pins().stripe(index));
    PinCount& count = client_->pins().count(index);
    if (count.pins == 0) return;  // released twice: our caller's bug, but nobody else's pin
    if (--count.pins > 0) return;
    client_->pins().went(entry.size.load(std::memory_order_relaxed));
    if (count.viewed) discard_written(index);
    EAGLERAY_FAULT("release.discarded");
    count.viewed = false;
    entry.pins[client_->slot() / 64].fetch_and(~(1ull << (client_->slot() % 64)), std::memory_order_seq_cst);
  }
  EAGLERAY_FAULT("release.unpinned");
  const uint64_t deleting = object_state::make(object_state::kDeleting, generation);
  if (entry.state.load(std::memory_order_seq_cst) == deleting) free_if_last(index, generation);
}

// What this process wrote into views of the object. REQUIRES: its block is still its own: afterwards the pages may be another's.
void Store::discard_written(uint32_t index) {
  const ObjectEntry& entry = segment().entry(index);
  const uint64_t bytes = block_bytes(entry.size.load(std::memory_order_relaxed));
  if (bytes < kPage) return;  // views of it were copies
  auto* at = const_cast<std::byte*>(segment().private_heap()) + entry.offset.load(std::memory_order_relaxed);
  client_->private_pages().discard(at, bytes);
}

void Store::free_if_last(uint32_t index, uint64_t generation) {
  if (is_pinned(segment().entry(index))) return;
  EAGLERAY_FAULT("release.last");
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  // A corrupt segment is reported by the next operation that can.
  if (lock.ok()) (void)free_if_unpinned(segment(), index, generation);
  lock.unlock();
  wake_unlinker();
}

// Files of spilled objects that hold nothing any more are for the thread that spills: unlinking one takes the file system a while.
void Store::wake_unlinker() {
  SpillState& spill = segment().spill();
  const bool is_due = spill.dead_files.load(std::memory_order_relaxed) > 0;
  if (is_due && spill.wanted.exchange(1, std::memory_order_seq_cst) == 0) {
    wake_spill_thread(segment());
  }
}

// Without a pin: an object never changes, so bytes that were copied while its state word stayed the same are its own. The generation
// in the word grows whenever the object leaves its place.
Result<uint64_t> Store::read(const ObjectId& id, void* target, uint64_t capacity) {
  while (true) {
    const FoundEntry found = find(id);
    if (found.index == kNone) return Status(Code::kObjectNotFound);
    if (object_state::state(found.word) != object_state::kSealed) return Status(Code::kSpilled);
    const ObjectEntry& entry = segment().entry(found.index);
    const uint64_t size = entry.size.load(std::memory_order_relaxed);
    const uint64_t offset = entry.offset.load(std::memory_order_relaxed);
    const bool is_sane = within_heap(segment(), offset, size);
    if (is_sane && size <= capacity) copy_unsettled(static_cast<std::byte*>(target), segment().heap() + offset, size);
    EAGLERAY_FAULT("read.copied");
    loads_before_loads();
    if (entry.state.load(std::memory_order_relaxed) != found.word) continue;
    if (!is_sane) return Status(Code::kStoreCorrupt, "object " + to_hex(id) + " lies outside the heap");
    mark_used(found.index);
    return size;
  }
}

// For the eviction hand. A line that all readers share: written only when it says otherwise.
void Store::mark_used(uint32_t index) {
  std::atomic<uint32_t>& used = segment().detail(index).used;
  if (used.load(std::memory_order_relaxed) == 0) used.store(1, std::memory_order_relaxed);
}

Result<View> Store::view(const ObjectId& id) {
  const Result<Pin> pinned = pin(id);
  if (!pinned.ok()) return pinned.status();
  mark_used(pinned.value().index);
  return object_state::state(pinned.value().word) == object_state::kSealed ? heap_view(pinned.value()) : disk_view(pinned.value());
}

// Takes over the pin.
Result<View> Store::heap_view(const Pin& pin) {
  const ObjectEntry& entry = segment().entry(pin.index);
  const uint64_t offset = entry.offset.load(std::memory_order_relaxed);
  View view = unplaced_view(pin);
  view.is_copy = block_bytes(view.size) < kPage;
  if (view.is_copy) return copied_view(view, segment().heap() + offset);
  view.data = segment().private_heap() + offset;
  return view;
}

View Store::unplaced_view(const Pin& pin) {
  View view;
  view.size = segment().entry(pin.index).size.load(std::memory_order_relaxed);
  view.entry = pin.index;
  view.generation = object_state::generation(pin.word);
  return view;
}

Result<View> Store::part(const View& view, uint64_t offset, uint64_t length) {
  {
    std::lock_guard<std::mutex> stripe(client_->pins().stripe(view.entry));
    client_->pins().count(view.entry).pins++;  // from 1 or more: the bit is set, and it is viewed
  }
  View part = view;
  part.size = length;
  if (view.is_copy) return copied_view(part, view.data + offset);
  part.data = view.data + offset;
  return part;
}

// Takes over the pin of `view`, which lacks its data.
Result<View> Store::copied_view(View view, const std::byte* bytes) {
  std::byte* const copy = memory_for_copy(view);
  if (copy == nullptr) return Status(Code::kSystem, "view an object of " + std::to_string(view.size) + " bytes: out of memory");
  std::memcpy(copy, bytes, view.size);
  view.data = copy;
  return view;
}

// Null when there is no memory; then the pin is gone.
std::byte* Store::memory_for_copy(const View& view) {
  auto* copy = static_cast<std::byte*>(std::aligned_alloc(kGranule, block_bytes(view.size)));
  if (copy == nullptr) unpin(view.entry, view.generation);
  return copy;
}

void Store::release(const View& view) {
  if (view.is_copy) std::free(const_cast<std::byte*>(view.data));
  unpin(view.entry, view.generation);
}

bool Store::contains(const ObjectId& id) { return find(id).index != kNone; }

Result<bool> Store::remove(const ObjectId& id) {
  const Result<bool> removed = mark_deleted(id);
  EAGLERAY_FAULT("delete.before_bells");
  if (removed.ok() && removed.value()) ring_waiters(*client_, id);  // without the lock
  wake_unlinker();
  return removed;
}

Result<bool> Store::mark_deleted(const ObjectId& id) {
  Segment& segment = this->segment();
  EAGLERAY_FAULT("delete.before");
  SegmentLock lock(segment, client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  const Result<FoundEntry> found = ObjectTable(segment).find_current(id);
  if (!found.ok()) return found.status();
  const FoundEntry& current = found.value();
  if (current.index == kNone || !object_state::is_present(current.word)) return false;
  const uint64_t generation = object_state::generation(current.word);
  segment.entry(current.index).state.store(object_state::make(object_state::kDeleting, generation), std::memory_order_seq_cst);
  EAGLERAY_FAULT("delete.marked");
  Status status = free_if_unpinned(segment, current.index, generation);
  if (!status.ok()) return status;
  return true;
}

void Store::expect(const ObjectId& id) { expect_seal(*client_, id); }

void Store::expect_all() { eagleray::expect_all(*client_); }

Result<bool> Store::reap(uint32_t slot) { return reap_client(*client_, slot); }

Result<std::vector<uint32_t>> Store::reap_dead() { return reap_dead_clients(*client_); }

}  // namespace eagleray
