// SPDX-License-Identifier: Apache-2.0
// How objects come to be: put, create, seal, abort.
#include <errno.h>
#include <time.h>

#include <algorithm>

#include "allocator.h"
#include "fault_points.h"
#include "heap_copy.h"
#include "object_table.h"
#include "reaper.h"
#include "secondaries.h"
#include "segment_lock.h"
#include "spill.h"
#include "spill_files.h"
#include "spill_thread.h"
#include "store.h"
#include "waiters.h"

namespace eagleray {
namespace {

// A store that is full is made room in for more than the object at hand: each time costs a sweep.
constexpr uint64_t kSpillAtLeastBytes = 1 << 20;
// A full collection of a small heap takes some milliseconds.
constexpr uint64_t kAskAgainMs = 50;

void stamp(ObjectEntry& entry, const Client& creator) {
  timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  entry.created_seconds = static_cast<uint32_t>(now.tv_sec);
  entry.created_millis = static_cast<uint16_t>(now.tv_nsec / 1000000);
  entry.creator_slot = static_cast<uint16_t>(creator.slot());
  entry.creator_generation = creator.generation();
}

Status exists(const ObjectId& id) { return Status(Code::kObjectExists, "put " + to_hex(id) + ": an object of that id exists already"); }

Status not_mine(const char* attempt, const ObjectId& id) {
  return Status(Code::kObjectNotFound, std::string(attempt) + " " + to_hex(id) + ": this process is creating no object of that id");
}

}  // namespace

// Entry and block in one hold of the lock. The entry becomes creating last, so a death before that leaves nothing and one after
// it leaves an object that the reaper rolls back.
Result<uint32_t> Store::insert(const ObjectId& id, uint64_t size, Kind kind) {
  Segment& segment = this->segment();
  SegmentLock lock(segment, client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  EAGLERAY_FAULT("create.locked");
  ObjectTable table(segment);
  const Result<FoundEntry> found = table.find_current(id);
  if (!found.ok()) return found.status();
  if (found.value().index != kNone) return Status(Code::kObjectExists);
  const Result<uint32_t> index = table.take();
  if (!index.ok()) return index;
  Status placed = kind == Kind::kOnDisk ? place_on_disk(index.value(), size) : place_in_heap(index.value(), size);
  if (!placed.ok()) {
    table.put_back(index.value());
    return placed;
  }
  EAGLERAY_FAULT("create.allocated");
  ObjectEntry& entry = segment.entry(index.value());
  entry.size.store(size, std::memory_order_relaxed);
  stamp(entry, *client_);
  ObjectDetail& detail = segment.detail(index.value());
  detail.used.store(1, std::memory_order_relaxed);
  detail.pinned_seconds.store(0, std::memory_order_relaxed);
  detail.site = site_;
  detail.secondary = kind == Kind::kSecondary;
  segment.spill().secondaries += detail.secondary;
  table.publish(index.value(), id);
  EAGLERAY_FAULT("create.published");
  wake_spiller();
  return index;
}

// REQUIRES: the segment lock is held.
Status Store::place_in_heap(uint32_t index, uint64_t size) {
  Segment& segment = this->segment();
  const Result<uint32_t> block = Allocator(segment).allocate(block_bytes(size), index);
  if (!block.ok()) return block.status();
  ObjectEntry& entry = segment.entry(index);
  const uint64_t offset = segment.block(block.value()).offset;
  if (offset > segment.layout().heap_bytes - size) return Status(Code::kStoreCorrupt, "a free block lies outside the heap");
  entry.offset.store(offset, std::memory_order_relaxed);
  entry.block = block.value();
  segment.detail(index).file = 0;
  return Status();
}

// REQUIRES: the segment lock is held.
Status Store::place_on_disk(uint32_t index, uint64_t size) {
  Segment& segment = this->segment();
  SpillFiles files(segment);
  const Result<DiskPlace> place = files.make(client_->slot(), client_->generation(), size);
  if (!place.ok()) return place.status();
  segment.entry(index).offset.store(kNowhere, std::memory_order_relaxed);
  segment.entry(index).block = kNone;
  files.attach(index, place.value());
  return Status();
}

// In the heap if there is room or room can be made, else on disk where that is allowed.
Result<Reserved> Store::reserve(const ObjectId& id, uint64_t size, bool secondary) {
  Segment& segment = this->segment();
  const bool spills = SpillFiles::enabled(segment);
  const bool may_be_on_disk = spills && !secondary;
  const Kind kind = secondary ? Kind::kSecondary : Kind::kInHeap;
  if (size > segment.layout().heap_bytes) return may_be_on_disk ? reserve_on_disk(id, size) : no_room(size, Status(Code::kStoreFull));
  Result<uint32_t> index = insert(id, size, kind);
  if (index.code() == Code::kStoreFull) {
    // Processes that died may hold what is needed, and nobody else may be there to notice.
    const Result<std::vector<uint32_t>> reaped = reap_dead_clients(*client_);
    if (reaped.ok() && !reaped.value().empty()) index = insert(id, size, kind);
  }
  while (index.code() == Code::kStoreFull) {
    // A message tells of a table that is full, to which disk is no help.
    const bool is_table_full = !index.status().message().empty();
    const Result<uint64_t> freed = is_table_full ? drop_secondaries(*client_, 1) : make_room(size);
    if (!freed.ok()) return freed.status();
    if (freed.value() == 0) {
      if (is_table_full) break;
      ask_to_collect();
      if (!may_be_on_disk) break;
      return reserve_on_disk(id, size);
    }
    index = insert(id, size, kind);
  }
  if (index.code() == Code::kObjectExists) return exists(id);
  if (index.code() == Code::kStoreFull) return no_room(size, index.status());
  if (!index.ok()) return index.status();
  EAGLERAY_FAULT("create.unlocked");
  const uint64_t offset = segment.entry(index.value()).offset.load(std::memory_order_relaxed);
  Status status = segment.ensure_heap_backed(offset + block_bytes(size));
  if (!status.ok()) {
    Status dropped = drop_reserved(index.value());
    return dropped.ok() ? status : dropped;
  }
  client_->warm_pages().placed(offset + block_bytes(size));
  return Reserved{index.value(), segment.heap() + offset, {}};
}

// Gives how many bytes of the heap came free; 0 when no more can.
Result<uint64_t> Store::make_room(uint64_t size) {
  const uint64_t bytes = std::max(block_bytes(size), kSpillAtLeastBytes);
  return SpillFiles::enabled(segment()) ? spill_objects(*this, bytes) : drop_secondaries(*client_, bytes);
}

// Views that are garbage may be all that is in the way, and V8 sees no reason to collect them: whoever listens is told.
void Store::ask_to_collect() {
  SpillState& spill = segment().spill();
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const uint64_t now_ms = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
  uint64_t told_ms = spill.starved_ms.load(std::memory_order_relaxed);
  if (now_ms < told_ms + kAskAgainMs || !spill.starved_ms.compare_exchange_strong(told_ms, now_ms, std::memory_order_relaxed)) return;
  spill.starved.fetch_add(1, std::memory_order_seq_cst);
  rouse_all(*client_);
}

Result<Reserved> Store::reserve_on_disk(const ObjectId& id, uint64_t size) {
  const Result<int> directory = segment().spill_directory();
  if (!directory.ok()) return directory.status();
  std::lock_guard<std::mutex> turn(client_->disk_drafts().placing());
  Result<uint32_t> index = insert(id, size, Kind::kOnDisk);
  if (index.code() == Code::kDiskFull) {
    reclaim_disk(segment(), client_->slot(), client_->generation(), true);
    index = insert(id, size, Kind::kOnDisk);
  }
  if (index.code() == Code::kObjectExists) return exists(id);
  if (!index.ok()) return index.status();
  const Result<DiskPlace> place = disk_place(index.value());
  if (!place.ok()) return place.status();
  Status status = check_disk_room(segment(), size);
  if (status.ok()) status = reserve_spilled(segment(), place.value().serial, place.value().offset, size);
  EAGLERAY_FAULT("disk.made");
  if (status.ok()) return Reserved{index.value(), nullptr, place.value()};
  Status dropped = drop_on_disk(index.value());
  return dropped.ok() ? status : dropped;
}

// The disk refused it. What comes next is made in another file: where this one ends is not known.
Status Store::drop_on_disk(uint32_t index) {
  Status dropped = drop_reserved(index);
  {
    SegmentLock lock(segment(), client_->slot(), client_->generation());
    if (lock.ok()) SpillFiles(segment()).close_making_of(client_->slot(), client_->generation());
  }
  reclaim_disk(segment(), client_->slot(), client_->generation(), false);
  return dropped;
}

Status Store::no_room(uint64_t size, const Status& why) {
  if (!why.message().empty()) return why;
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  const Allocator allocator(segment());
  const uint64_t capacity = segment().layout().heap_bytes;
  return Status(Code::kStoreFull, "no room for " + std::to_string(size) + " bytes in the store: " +
                                      std::to_string(capacity - allocator.used_bytes()) + " of " + std::to_string(capacity) +
                                      " bytes are free, at most " + std::to_string(allocator.largest_free()) + " in one piece");
}

// Above this filling, threads that spill in the background begin.
void Store::wake_spiller() {
  Segment& segment = this->segment();
  if (!SpillFiles::enabled(segment) || !is_filled_to_spill(segment)) return;
  std::atomic<uint32_t>& wanted = segment.spill().wanted;
  // Once each time that it is seen: who sleeps sets it back.
  if (wanted.load(std::memory_order_relaxed) == 0 && wanted.exchange(1, std::memory_order_seq_cst) == 0) wake_spill_thread(segment);
}

Status Store::drop_reserved(uint32_t index) {
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  return free_entry(segment(), index);
}

void Store::publish_seal(uint32_t index, const ObjectId& id) {
  EAGLERAY_FAULT("seal.before");
  ObjectEntry& entry = segment().entry(index);
  const uint64_t generation = object_state::generation(entry.state.load(std::memory_order_relaxed));
  const bool on_disk = entry.offset.load(std::memory_order_relaxed) == kNowhere;
  entry.state.store(object_state::make(on_disk ? object_state::kSpilled : object_state::kSealed, generation), std::memory_order_seq_cst);
  EAGLERAY_FAULT("seal.sealed");
  ring_waiters(*client_, id);
  EAGLERAY_FAULT("seal.rung");
}

Status Store::put(const ObjectId& id, const void* bytes, uint64_t size) {
  const PutPart part{bytes, size, 0};
  const Result<Reserved> reserved = reserve(id, size);
  if (!reserved.ok()) return reserved.status();
  if (size > 0) {
    Status status = fill(reserved.value(), size, {&part, 1});
    if (!status.ok()) return status;
  }
  EAGLERAY_FAULT("put.copied");
  publish_seal(reserved.value().index, id);
  return Status();
}

// Copies the parts to where the object is to be; when that fails, there is none.
Status Store::fill(const Reserved& reserved, uint64_t size, std::span<const PutPart> parts) {
  if (reserved.data == nullptr) {
    Status status;
    for (const PutPart& part : parts) {
      const auto* const bytes = static_cast<const std::byte*>(part.data);
      if (status.ok()) status = write_spilled(segment(), reserved.place.serial, reserved.place.offset + part.offset, bytes, part.length);
    }
    if (status.ok()) return status;
    Status dropped = drop_on_disk(reserved.index);
    return dropped.ok() ? status : dropped;
  }
  if (parts.size() == 1 && parts[0].length == size) {
    const CopyPart part{reserved.data, static_cast<const std::byte*>(parts[0].data), size};
    copy_into_heap(*client_, {&part, 1});
    return Status();
  }
  std::vector<CopyPart> copies;
  copies.reserve(2 * parts.size() + 1);
  uint64_t at = 0;
  for (const PutPart& part : parts) {
    if (part.offset > at) copies.push_back({reserved.data + at, nullptr, part.offset - at});
    if (part.length > 0) copies.push_back({reserved.data + part.offset, static_cast<const std::byte*>(part.data), part.length});
    at = part.offset + part.length;
  }
  if (size > at) copies.push_back({reserved.data + at, nullptr, size - at});
  copy_into_heap(*client_, copies);
  return Status();
}

Status Store::put_parts(const ObjectId& id, uint64_t size, std::span<const PutPart> parts) {
  uint64_t end = 0;
  for (const PutPart& part : parts) {
    if (part.offset < end || part.offset > size || part.length > size - part.offset) {
      return Status(Code::kInvalidArgument, "put " + to_hex(id) + ": the part at " + std::to_string(part.offset) + " of " +
                                                std::to_string(part.length) + " bytes overlaps the one before or leaves the object");
    }
    end = part.offset + part.length;
  }
  const Result<Reserved> reserved = reserve(id, size);
  if (!reserved.ok()) return reserved.status();
  Status status = fill(reserved.value(), size, parts);
  if (!status.ok()) return status;
  EAGLERAY_FAULT("put.copied");
  publish_seal(reserved.value().index, id);
  return Status();
}

Result<std::byte*> Store::create(const ObjectId& id, uint64_t size, bool secondary) {
  const Result<Reserved> reserved = reserve(id, size, secondary);
  if (!reserved.ok()) return reserved.status();
  if (reserved.value().data != nullptr) return reserved.value().data;
  const DiskPlace& place = reserved.value().place;
  Result<std::shared_ptr<DiskMapping>> mapping = DiskMapping::map(segment(), place.serial, place.offset, size, true);
  if (!mapping.ok()) {
    Status dropped = drop_on_disk(reserved.value().index);
    return dropped.ok() ? mapping.status() : dropped;
  }
  std::byte* const data = mapping.value()->data();
  client_->disk_drafts().keep(reserved.value().index, std::move(mapping.value()));
  return data;
}

Status Store::write(const Reserved& reserved, uint64_t offset, std::span<const std::byte> bytes) {
  if (reserved.data == nullptr) return write_spilled(segment(), reserved.place.serial, reserved.place.offset + offset, bytes.data(), bytes.size());
  const uint64_t at = static_cast<uint64_t>(reserved.data - segment().heap()) + offset;
  return segment().write_heap(at, bytes.data(), bytes.size()) ? Status() : system_error("write to the store", errno);
}

Status Store::read_back(const Reserved& reserved, uint64_t offset, std::span<std::byte> target) {
  if (reserved.data == nullptr) return read_spilled(segment(), reserved.place.serial, reserved.place.offset + offset, target.data(), target.size());
  const uint64_t at = static_cast<uint64_t>(reserved.data - segment().heap()) + offset;
  return segment().read_heap(at, target.data(), target.size()) ? Status() : system_error("read from the store", errno);
}

// REQUIRES: the segment lock is held.
Result<uint32_t> Store::find_mine(const ObjectId& id) {
  const Result<FoundEntry> found = ObjectTable(segment()).find_current(id);
  if (!found.ok()) return found.status();
  const uint32_t index = found.value().index;
  if (index == kNone || object_state::state(found.value().word) != object_state::kCreating) return kNone;
  const ObjectEntry& entry = segment().entry(index);
  if (entry.creator_slot != client_->slot() || entry.creator_generation != client_->generation()) return kNone;
  return index;
}

Status Store::seal(const ObjectId& id) {
  uint32_t index = kNone;
  {
    SegmentLock lock(segment(), client_->slot(), client_->generation());
    if (!lock.ok()) return lock.status();
    const Result<uint32_t> mine = find_mine(id);
    if (!mine.ok()) return mine.status();
    index = mine.value();
  }
  if (index == kNone) return not_mine("seal", id);
  client_->disk_drafts().drop(index);
  EAGLERAY_FAULT("seal.found");
  publish_seal(index, id);
  return Status();
}

Status Store::abort(const ObjectId& id) {
  {
    SegmentLock lock(segment(), client_->slot(), client_->generation());
    if (!lock.ok()) return lock.status();
    const Result<uint32_t> mine = find_mine(id);
    if (!mine.ok()) return mine.status();
    EAGLERAY_FAULT("abort.before");
    if (mine.value() != kNone) {
      client_->disk_drafts().drop(mine.value());
      return free_entry(segment(), mine.value());
    }
  }
  return not_mine("abort", id);
}

Result<bool> Store::promote(const ObjectId& id) {
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  const Result<FoundEntry> found = ObjectTable(segment()).find_current(id);
  if (!found.ok()) return found.status();
  if (found.value().index == kNone) return false;
  end_secondary(segment(), found.value().index);
  return true;
}

}  // namespace eagleray
