// SPDX-License-Identifier: Apache-2.0
#include "allocator.h"

#include <algorithm>

#include "bins.h"
#include "fault_points.h"

namespace eagleray {

using block_kind::kChunkFirstBit;
using block_kind::kFreeBit;
using block_kind::kSmallBit;
using block_kind::kUnused;
using block_kind::kUsedBit;

namespace {

bool is_free(const BlockRecord& block) { return (block.kind & kFreeBit) != 0; }
bool is_small(const BlockRecord& block) { return (block.kind & kSmallBit) != 0; }
bool is_chunk_first(const BlockRecord& block) { return (block.kind & kChunkFirstBit) != 0; }

}  // namespace

Status Allocator::format() {
  std::vector<UsedBlock> nothing;
  return rebuild(nothing);
}

BlockRecord* Allocator::at(uint32_t index) const { return segment_.block_exists(index) ? &segment_.block(index) : nullptr; }

Result<uint32_t> Allocator::take_record() {
  const uint32_t head = state_.free_record;
  if (head != kNone) {
    BlockRecord* record = at(head);
    if (record == nullptr || record->kind != kUnused) return corrupt_heap("the list of unused records");
    state_.free_record = record->next_free;
    return head;
  }
  const uint32_t index = state_.record_high_water;
  if (index >= segment_.layout().block_capacity) return Status(Code::kStoreFull);
  Status status = segment_.ensure_block_backed(index);
  if (!status.ok()) return status;
  state_.record_high_water = index + 1;
  return index;
}

void Allocator::give_record(uint32_t index) {
  BlockRecord& record = segment_.block(index);
  record.kind = kUnused;
  record.next_free = state_.free_record;
  state_.free_record = index;
}

bool Allocator::fills_chunk(const BlockRecord& block) const {
  if (!is_small(block) || !is_chunk_first(block)) return false;
  if (block.next == kNone) return true;
  const BlockRecord* next = at(block.next);
  return next != nullptr && (!is_small(*next) || is_chunk_first(*next));
}

Status Allocator::split(uint32_t index, uint64_t bytes) {
  BlockRecord& block = *at(index);
  if (block.size == bytes) return Status();
  if (block.size < bytes) return corrupt_heap("a block smaller than its bin");
  Result<uint32_t> taken = take_record();
  if (!taken.ok()) return taken.status();
  const uint32_t rest_index = taken.value();
  BlockRecord& rest = segment_.block(rest_index);
  rest = BlockRecord{};
  rest.offset = block.offset + bytes;
  rest.size = block.size - bytes;
  rest.prev = index;
  rest.next = block.next;
  rest.kind = kFreeBit | (block.kind & kSmallBit);
  rest.entry = kNone;
  if (block.next != kNone) {
    BlockRecord* next = at(block.next);
    if (next == nullptr) return corrupt_heap("a neighbour");
    next->prev = rest_index;
  }
  block.next = rest_index;
  block.size = bytes;
  EAGLERAY_FAULT("allocate.split");
  return is_small(rest) ? Bins(segment_, state_.granules, kGranule).insert(rest_index)
                        : Bins(segment_, state_.pages, kPage).insert(rest_index);
}

Result<uint32_t> Allocator::allocate(uint64_t bytes, uint32_t entry) {
  Result<uint32_t> taken = bytes < kPage ? allocate_small(bytes) : allocate_pages(bytes);
  if (!taken.ok()) return taken;
  const uint32_t index = taken.value();
  EAGLERAY_FAULT("allocate.removed");
  Status status = split(index, bytes);
  if (status.code() == Code::kStoreFull || status.code() == Code::kStoreSpace) {
    // No record for the rest: put the block back whole.
    BlockRecord& block = segment_.block(index);
    block.kind = (block.kind & ~kUsedBit) | kFreeBit;
    Status undone = is_small(block) ? free_small_block(index) : free_page_block(index);
    return undone.ok() ? status : undone;
  }
  if (!status.ok()) return status;
  BlockRecord& block = segment_.block(index);
  block.kind = (block.kind & ~kFreeBit) | kUsedBit;
  block.entry = entry;
  state_.used_bytes += block.size;
  return index;
}

Result<uint32_t> Allocator::allocate_pages(uint64_t bytes) {
  Bins pages(segment_, state_.pages, kPage);
  Result<uint32_t> taken = pages.take(bytes);
  // Chunks that are empty are kept for small objects only as long as nobody needs the room.
  while (!taken.ok() && taken.code() == Code::kStoreFull && state_.empty_chunks != kNone) {
    Status status = release_empty_chunk();
    if (!status.ok()) return status;
    if (state_.empty_chunks == kNone) taken = pages.take(bytes);
  }
  return taken;
}

Result<uint32_t> Allocator::allocate_small(uint64_t bytes) {
  Result<uint32_t> taken = Bins(segment_, state_.granules, kGranule).take(bytes);
  if (taken.ok() || taken.code() != Code::kStoreFull) return taken;
  const uint32_t chunk = state_.empty_chunks;
  if (chunk == kNone) return new_chunk();
  const BlockRecord* block = at(chunk);
  if (block == nullptr || !is_free(*block) || state_.empty_chunk_count == 0) return corrupt_heap("the list of empty chunks");
  state_.empty_chunks = block->next_free;
  state_.empty_chunk_count--;
  return chunk;
}

Result<uint32_t> Allocator::new_chunk() {
  for (const uint64_t bytes : {kChunkBytes, kPage}) {
    Result<uint32_t> taken = Bins(segment_, state_.pages, kPage).take(bytes);
    if (!taken.ok() && taken.code() == Code::kStoreFull) continue;
    if (!taken.ok()) return taken;
    Status status = split(taken.value(), bytes);
    BlockRecord& block = segment_.block(taken.value());
    // Without a record for the rest the chunk is simply larger; it is whole pages either way.
    if (!status.ok() && status.code() != Code::kStoreFull && status.code() != Code::kStoreSpace) return status;
    block.kind = kFreeBit | kSmallBit | kChunkFirstBit;
    EAGLERAY_FAULT("allocate.chunk");
    return taken;
  }
  return Status(Code::kStoreFull);
}

Status Allocator::free(uint32_t index) {
  BlockRecord* block = at(index);
  if (block == nullptr || (block->kind & kUsedBit) == 0 || block->size > state_.used_bytes) return corrupt_heap("freeing what is not used");
  EAGLERAY_FAULT("free.before");
  state_.used_bytes -= block->size;
  block->kind = (block->kind & ~kUsedBit) | kFreeBit;
  block->entry = kNone;
  return is_small(*block) ? free_small_block(index) : free_page_block(index);
}

Status Allocator::absorb_next(uint32_t index) {
  BlockRecord& block = segment_.block(index);
  const uint32_t gone = block.next;
  const BlockRecord& next = segment_.block(gone);
  if (block.offset + block.size != next.offset || next.prev != index) return corrupt_heap("neighbours that do not touch");
  block.size += next.size;
  block.next = next.next;
  if (block.next != kNone) {
    BlockRecord* after = at(block.next);
    if (after == nullptr) return corrupt_heap("a neighbour");
    after->prev = index;
  }
  give_record(gone);
  EAGLERAY_FAULT("free.merged");
  return Status();
}

Status Allocator::free_page_block(uint32_t index) {
  Bins pages(segment_, state_.pages, kPage);
  const auto joins = [](const BlockRecord* other) { return other != nullptr && is_free(*other) && !is_small(*other); };
  const uint32_t next = segment_.block(index).next;
  if (next != kNone && joins(at(next))) {
    Status status = pages.remove(next);
    if (status.ok()) status = absorb_next(index);
    if (!status.ok()) return status;
  }
  const uint32_t prev = segment_.block(index).prev;
  if (prev != kNone && joins(at(prev))) {
    Status status = pages.remove(prev);
    if (status.ok() && segment_.block(prev).next != index) status = corrupt_heap("neighbours that do not know each other");
    if (status.ok()) status = absorb_next(prev);
    if (!status.ok()) return status;
    index = prev;
  }
  EAGLERAY_FAULT("free.binned");
  return pages.insert(index);
}

Status Allocator::free_small_block(uint32_t index) {
  Bins granules(segment_, state_.granules, kGranule);
  const uint32_t next = segment_.block(index).next;
  const BlockRecord* follower = next == kNone ? nullptr : at(next);
  if (follower != nullptr && is_free(*follower) && is_small(*follower) && !is_chunk_first(*follower)) {
    Status status = granules.remove(next);
    if (status.ok()) status = absorb_next(index);
    if (!status.ok()) return status;
  }
  const uint32_t prev = segment_.block(index).prev;
  const BlockRecord* leader = prev == kNone || is_chunk_first(segment_.block(index)) ? nullptr : at(prev);
  if (leader != nullptr && is_free(*leader) && is_small(*leader)) {
    Status status = granules.remove(prev);
    if (status.ok() && leader->next != index) status = corrupt_heap("neighbours that do not know each other");
    if (status.ok()) status = absorb_next(prev);
    if (!status.ok()) return status;
    index = prev;
  }
  BlockRecord& block = segment_.block(index);
  if (!fills_chunk(block)) return granules.insert(index);
  block.next_free = state_.empty_chunks;
  state_.empty_chunks = index;
  state_.empty_chunk_count++;
  return state_.empty_chunk_count > kEmptyChunksKept ? release_empty_chunk() : Status();
}

Status Allocator::release_empty_chunk() {
  const uint32_t index = state_.empty_chunks;
  BlockRecord* block = at(index);
  if (block == nullptr || !is_free(*block) || !fills_chunk(*block) || state_.empty_chunk_count == 0) {
    return corrupt_heap("the list of empty chunks");
  }
  state_.empty_chunks = block->next_free;
  state_.empty_chunk_count--;
  block->kind = kFreeBit;
  EAGLERAY_FAULT("free.chunk");
  return free_page_block(index);
}

uint64_t Allocator::largest_free() const {
  uint64_t largest = Bins(segment_, state_.pages, kPage).largest();
  uint32_t index = state_.empty_chunks;
  for (uint32_t steps = 0; index != kNone && steps < kEmptyChunksKept + 1; steps++) {
    const BlockRecord* block = at(index);
    if (block == nullptr) break;
    largest = std::max(largest, block->size);
    index = block->next_free;
  }
  // Within chunks there is room for small objects only.
  return largest != 0 ? largest : std::min(Bins(segment_, state_.granules, kGranule).largest(), kPage - kGranule);
}

}  // namespace eagleray
