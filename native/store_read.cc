// SPDX-License-Identifier: Apache-2.0
// How objects are read and go: look-up, pins, views, deletion.
//
// A pin and a deletion race without a lock. The reader sets its bit and then looks at the state again; the deleter sets the state
// and then looks at the bits (both seq_cst). So either the reader sees the deletion and takes its bit back, or the deleter sees the
// bit and leaves the freeing to whoever clears the last one.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "copy.h"
#include "fault_points.h"
#include "object_table.h"
#include "reaper.h"
#include "segment_lock.h"
#include "store.h"
#include "waiters.h"

namespace eagleray {
namespace {

bool within_heap(const Segment& segment, const ObjectEntry& entry) {
  const uint64_t heap_bytes = segment.layout().heap_bytes;
  return entry.size <= heap_bytes && entry.offset <= heap_bytes - entry.size;
}

}  // namespace

FoundEntry Store::find(const ObjectId& id) {
  bool settled = false;
  const FoundEntry found = ObjectTable(segment()).find_sealed(id, &settled);
  if (settled) return found;
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return {};
  const Result<FoundEntry> current = ObjectTable(segment()).find_current(id);
  if (!current.ok() || object_state::state(current.value().word) != object_state::kSealed) return {};
  return current.value();
}

Result<Store::Pin> Store::pin(const ObjectId& id, bool for_view) {
  while (true) {
    const FoundEntry found = find(id);
    if (found.index == kNone) return Status(Code::kObjectNotFound);
    ObjectEntry& entry = segment().entry(found.index);
    std::atomic<uint64_t>& pins = entry.pins[client_->slot() / 64];
    const uint64_t bit = 1ull << (client_->slot() % 64);
    uint64_t word = 0;
    {
      std::lock_guard<std::mutex> stripe(client_->pins().stripe(found.index));
      PinCount& count = client_->pins().count(found.index);
      if (count.pins == 0) pins.fetch_or(bit, std::memory_order_seq_cst);
      EAGLERAY_FAULT("view.pinned");
      word = entry.state.load(std::memory_order_seq_cst);
      if (word == found.word && within_heap(segment(), entry)) {
        count.pins++;
        count.viewed |= for_view;
        EAGLERAY_FAULT("view.counted");
        return Pin{found.index, word};
      }
      if (count.pins == 0) pins.fetch_and(~bit, std::memory_order_seq_cst);
    }
    if (word == found.word) return Status(Code::kStoreCorrupt, "object " + to_hex(id) + " lies outside the heap");
    // Deleted in between. The deleter may have seen our bit and left the rest to us.
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
    if (count.viewed && block_bytes(entry.size) >= kPage) {
      // While the bit is still set: afterwards the pages may belong to another object.
      auto* at = const_cast<std::byte*>(segment().private_heap()) + entry.offset;
      (void)madvise(at, block_bytes(entry.size), MADV_DONTNEED);
    }
    EAGLERAY_FAULT("release.discarded");
    count.viewed = false;
    entry.pins[client_->slot() / 64].fetch_and(~(1ull << (client_->slot() % 64)), std::memory_order_seq_cst);
  }
  EAGLERAY_FAULT("release.unpinned");
  const uint64_t deleting = object_state::make(object_state::kDeleting, generation);
  if (entry.state.load(std::memory_order_seq_cst) == deleting) free_if_last(index, generation);
}

void Store::free_if_last(uint32_t index, uint64_t generation) {
  if (is_pinned(segment().entry(index))) return;
  EAGLERAY_FAULT("release.last");
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  // A corrupt segment is reported by the next operation that can.
  if (lock.ok()) (void)free_if_unpinned(segment(), index, generation);
}

Result<uint64_t> Store::read(const ObjectId& id, void* target, uint64_t capacity) {
  const Result<Pin> pinned = pin(id, false);
  if (!pinned.ok()) return pinned.status();
  const ObjectEntry& entry = segment().entry(pinned.value().index);
  const uint64_t size = entry.size;
  if (size > 0 && size <= capacity) {
    const CopyPart part{static_cast<std::byte*>(target), segment().heap() + entry.offset, size};
    copy_parts({&part, 1});
  }
  EAGLERAY_FAULT("read.copied");
  unpin(pinned.value().index, object_state::generation(pinned.value().word));
  return size;
}

Result<View> Store::view(const ObjectId& id) {
  const Result<Pin> pinned = pin(id, true);
  if (!pinned.ok()) return pinned.status();
  const ObjectEntry& entry = segment().entry(pinned.value().index);
  View view;
  view.size = entry.size;
  view.entry = pinned.value().index;
  view.generation = object_state::generation(pinned.value().word);
  view.is_copy = block_bytes(entry.size) < kPage;
  if (view.is_copy) return copied_view(view, segment().heap() + entry.offset);
  view.data = segment().private_heap() + entry.offset;
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
  auto* copy = static_cast<std::byte*>(std::aligned_alloc(kGranule, block_bytes(view.size)));
  if (copy == nullptr) {
    unpin(view.entry, view.generation);
    return Status(Code::kSystem, "view an object of " + std::to_string(view.size) + " bytes: out of memory");
  }
  std::memcpy(copy, bytes, view.size);
  view.data = copy;
  return view;
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
  if (current.index == kNone || object_state::state(current.word) != object_state::kSealed) return false;
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
