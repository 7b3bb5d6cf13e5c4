// SPDX-License-Identifier: Apache-2.0
// Views of objects that are on disk: read back into the heap where it has room or room can be made, else mapped from the file.
#include <algorithm>
#include <vector>

#include "allocator.h"
#include "fault_points.h"
#include "heap_copy.h"
#include "reaper.h"
#include "segment_lock.h"
#include "spill.h"
#include "spill_files.h"
#include "store.h"

namespace eagleray {
namespace {

// Read and copied in pieces that stay in the cache; the copy goes around the page tables that this process may lack (heap_copy.h).
constexpr uint64_t kPieceBytes = 1 << 20;
// Larger ones are mapped: one that would push half of the others out is not worth it.
constexpr uint64_t kMostOfHeap = 2;

}  // namespace

// Under the lock: others append to the file meanwhile.
Result<DiskPlace> Store::disk_place(uint32_t index) {
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  const std::optional<DiskPlace> place = SpillFiles(segment()).place_of(index);
  if (place.has_value()) return *place;
  return Status(Code::kStoreCorrupt, "object " + to_hex(load_id(segment().entry(index))) + " has no place on disk");
}

// The pin keeps the file and its place in it, also when somebody reads the object back or deletes it meanwhile.
Result<Source> Store::source(const ObjectId& id) {
  const Result<Pin> pinned = pin(id);
  if (!pinned.ok()) return pinned.status();
  const Pin pin = pinned.value();
  mark_used(pin.index);
  Source source;
  if (object_state::state(pin.word) == object_state::kSealed) {
    source.view = unplaced_view(pin);
    if (block_bytes(source.view.size) < kPage) {
      Result<View> view = heap_view(pin);
      if (!view.ok()) return view.status();
      source.view = std::move(view.value());
      return source;
    }
    source.path = segment().open_path();
    source.offset = segment().layout().heap + segment().entry(pin.index).offset.load(std::memory_order_relaxed);
    return source;
  }
  const Result<DiskPlace> place = disk_place(pin.index);
  const Result<int> directory = segment().spill_directory();
  if (!place.ok() || !directory.ok()) {
    unpin(pin.index, object_state::generation(pin.word));
    return place.ok() ? directory.status() : place.status();
  }
  source.view = unplaced_view(pin);
  // Wherever the link beside the segment may lead.
  source.path = "/proc/self/fd/" + std::to_string(directory.value()) + "/" + std::to_string(place.value().serial);
  source.offset = place.value().offset;
  source.on_disk = true;
  return source;
}

// Takes over the pin, which was made in spilled or restoring.
Result<View> Store::disk_view(const Pin& pin) {
  const Result<DiskPlace> place = disk_place(pin.index);
  if (!place.ok()) {
    unpin(pin.index, object_state::generation(pin.word));
    return place.status();
  }
  const Result<std::byte*> block = begin_restore(pin);
  if (!block.ok()) {
    unpin(pin.index, object_state::generation(pin.word));
    return block.status();
  }
  if (block.value() == nullptr) return mapped_view(pin, place.value());
  Status status = read_into_heap(place.value(), block.value(), segment().entry(pin.index).size.load(std::memory_order_relaxed));
  EAGLERAY_FAULT("restore.read");
  if (!status.ok()) {
    cancel_restore(pin);
    return status;
  }
  finish_restore(pin);
  return heap_view(pin);
}

// A block for it, and the state says that this process reads it back. Null when it is not to be read back now: the heap has no room, or
// somebody else is at it.
Result<std::byte*> Store::begin_restore(const Pin& pin) {
  Segment& segment = this->segment();
  ObjectEntry& entry = segment.entry(pin.index);
  const uint64_t size = entry.size.load(std::memory_order_relaxed);
  if (size > segment.layout().heap_bytes / kMostOfHeap || object_state::state(pin.word) != object_state::kSpilled) return nullptr;
  Result<uint32_t> block = Status(Code::kStoreFull);
  for (bool more = true; more && !block.ok();) {
    {
      SegmentLock lock(segment, client_->slot(), client_->generation());
      if (!lock.ok()) return lock.status();
      if (entry.state.load(std::memory_order_seq_cst) != pin.word) return nullptr;
      block = Allocator(segment).allocate(block_bytes(size), pin.index);
      if (block.ok()) {
        entry.offset.store(segment.block(block.value()).offset, std::memory_order_relaxed);
        entry.block = block.value();
        segment.detail(pin.index).restorer_slot = static_cast<uint16_t>(client_->slot());
        segment.detail(pin.index).restorer_generation = client_->generation();
        EAGLERAY_FAULT("restore.placed");
        entry.state.store(object_state::make(object_state::kRestoring, object_state::generation(pin.word)), std::memory_order_seq_cst);
        break;
      }
    }
    if (block.code() != Code::kStoreFull) return block.status();
    const Result<uint64_t> freed = spill_objects(*this, block_bytes(size));
    more = freed.ok() && freed.value() > 0;
  }
  if (!block.ok()) return nullptr;
  EAGLERAY_FAULT("restore.begun");
  const uint64_t offset = entry.offset.load(std::memory_order_relaxed);
  Status status = segment.ensure_heap_backed(offset + block_bytes(size));
  if (status.ok()) return segment.heap() + offset;
  SegmentLock lock(segment, client_->slot(), client_->generation());
  if (lock.ok()) (void)undo_restore_of(pin);
  return nullptr;
}

Status Store::read_into_heap(const DiskPlace& place, std::byte* target, uint64_t size) {
  std::vector<std::byte> piece(std::min(kPieceBytes, size));
  for (uint64_t at = 0; at < size; at += kPieceBytes) {
    const uint64_t length = std::min(kPieceBytes, size - at);
    Status status = read_spilled(segment(), place.serial, place.offset + at, piece.data(), length);
    if (!status.ok()) return status;
    const CopyPart part{target + at, piece.data(), length};
    copy_into_heap(*client_, {&part, 1});
  }
  segment().spill().restored_objects.fetch_add(1, std::memory_order_relaxed);
  segment().spill().restored_bytes.fetch_add(size, std::memory_order_relaxed);
  return Status();
}

// Unless it was deleted meanwhile; it is whole all the same, and stays until the pin goes.
void Store::finish_restore(const Pin& pin) {
  const uint64_t generation = object_state::generation(pin.word);
  uint64_t restoring = object_state::make(object_state::kRestoring, generation);
  segment().entry(pin.index).state.compare_exchange_strong(restoring, object_state::make(object_state::kSealed, generation),
                                                           std::memory_order_seq_cst);
  EAGLERAY_FAULT("restore.sealed");
  std::lock_guard<std::mutex> stripe(client_->pins().stripe(pin.index));
  client_->pins().count(pin.index).viewed = true;
}

// Takes over the pin.
void Store::cancel_restore(const Pin& pin) {
  {
    SegmentLock lock(segment(), client_->slot(), client_->generation());
    if (lock.ok()) (void)undo_restore_of(pin);
  }
  unpin(pin.index, object_state::generation(pin.word));
}

// Nothing when it was deleted meanwhile: then the block goes with the entry. REQUIRES: the segment lock is held.
Status Store::undo_restore_of(const Pin& pin) {
  const uint64_t restoring = object_state::make(object_state::kRestoring, object_state::generation(pin.word));
  if (segment().entry(pin.index).state.load(std::memory_order_seq_cst) != restoring) return Status();
  return undo_restore(segment(), pin.index);
}

// Takes over the pin, which keeps the file.
Result<View> Store::mapped_view(const Pin& pin, const DiskPlace& place) {
  View view = unplaced_view(pin);
  view.is_copy = block_bytes(view.size) < kPage;
  if (view.is_copy) {
    std::byte* const copy = memory_for_copy(view);
    if (copy == nullptr) return Status(Code::kSystem, "view an object of " + std::to_string(view.size) + " bytes: out of memory");
    view.data = copy;
    Status status = read_spilled(segment(), place.serial, place.offset, copy, view.size);
    if (status.ok()) return view;
    release(view);
    return status;
  }
  Result<std::shared_ptr<DiskMapping>> mapping = DiskMapping::map(segment(), place.serial, place.offset, view.size, false);
  if (!mapping.ok()) {
    unpin(pin.index, view.generation);
    return mapping.status();
  }
  view.data = mapping.value()->data();
  view.mapping = std::move(mapping.value());
  return view;
}

}  // namespace eagleray
