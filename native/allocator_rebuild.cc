// SPDX-License-Identifier: Apache-2.0
// The allocator's state from the objects alone: at the start (no objects), and after a holder of the lock died.
#include <algorithm>

#include "allocator.h"
#include "bins.h"

namespace eagleray {

using block_kind::kChunkFirstBit;
using block_kind::kFreeBit;
using block_kind::kSmallBit;
using block_kind::kUsedBit;

// Appends blocks from the heap's start to its end.
class AllocatorRebuild {
 public:
  explicit AllocatorRebuild(Allocator& allocator) : allocator_(allocator), segment_(allocator.segment_) {}

  // Fills the gap up to `end` with one free block; none when there is no gap.
  Status free_up_to(uint64_t end, uint32_t kind) {
    if (end == position_) return Status();
    if (end < position_) return corrupt_heap("two objects overlap");
    return append(end - position_, kFreeBit | kind, kNone).status();
  }

  Status use(Allocator::UsedBlock& used, uint32_t kind) {
    if (used.offset != position_) return corrupt_heap("two objects overlap");
    Result<uint32_t> index = append(used.bytes, kUsedBit | kind, used.entry);
    if (!index.ok()) return index.status();
    used.block = index.value();
    allocator_.state_.used_bytes += used.bytes;
    return Status();
  }

  uint64_t position() const { return position_; }

 private:
  Result<uint32_t> append(uint64_t bytes, uint32_t kind, uint32_t entry) {
    Result<uint32_t> taken = allocator_.take_record();
    if (!taken.ok()) return taken;
    const uint32_t index = taken.value();
    BlockRecord& block = segment_.block(index);
    block = BlockRecord{};
    block.offset = position_;
    block.size = bytes;
    block.prev = last_;
    block.next = kNone;
    block.prev_free = block.next_free = kNone;
    block.kind = kind;
    block.entry = entry;
    if (last_ != kNone) segment_.block(last_).next = index;
    last_ = index;
    position_ += bytes;
    return index;
  }

  Allocator& allocator_;
  Segment& segment_;
  uint64_t position_ = 0;
  uint32_t last_ = kNone;
};

namespace {

uint64_t page_down(uint64_t bytes) { return bytes & ~(kPage - 1); }
uint64_t page_up(uint64_t bytes) { return page_down(bytes + kPage - 1); }

// The end of the chunk that begins at used[i], which is small: the pages that it and the small ones after it touch. Where the
// chunk was larger, its free pages at the ends become page blocks.
uint64_t chunk_end(const std::vector<Allocator::UsedBlock>& used, size_t i) {
  uint64_t end = page_up(used[i].offset + used[i].bytes);
  while (++i < used.size() && used[i].bytes < kPage && page_down(used[i].offset) <= end) end = page_up(used[i].offset + used[i].bytes);
  return end;
}

}  // namespace

Status Allocator::rebuild(std::vector<UsedBlock>& used) {
  state_ = AllocatorState{};
  std::fill_n(&state_.pages.heads[0][0], kFirstLevels * kSecondLevels, kNone);
  std::fill_n(&state_.granules.heads[0][0], kFirstLevels * kSecondLevels, kNone);
  state_.empty_chunks = kNone;
  state_.free_record = kNone;

  AllocatorRebuild blocks(*this);
  const uint64_t heap_bytes = segment_.layout().heap_bytes;
  for (size_t i = 0; i < used.size();) {
    const uint64_t unit = used[i].bytes < kPage ? kGranule : kPage;
    if (used[i].offset % unit != 0 || used[i].bytes > heap_bytes || used[i].offset > heap_bytes - used[i].bytes) {
      return corrupt_heap("an object outside the heap");
    }
    if (unit == kPage) {
      Status status = blocks.free_up_to(used[i].offset, 0);
      if (status.ok()) status = blocks.use(used[i], 0);
      if (!status.ok()) return status;
      i++;
      continue;
    }
    const uint64_t end = chunk_end(used, i);
    Status status = blocks.free_up_to(page_down(used[i].offset), 0);
    uint32_t first = kChunkFirstBit;
    while (status.ok() && i < used.size() && used[i].bytes < kPage && used[i].offset < end) {
      if (used[i].offset > blocks.position()) {
        status = blocks.free_up_to(used[i].offset, kSmallBit | first);
        first = 0;
      }
      if (status.ok()) status = blocks.use(used[i], kSmallBit | first);
      first = 0;
      i++;
    }
    if (status.ok()) status = blocks.free_up_to(end, kSmallBit);
    if (!status.ok()) return status;
  }
  Status status = blocks.free_up_to(heap_bytes, 0);
  for (uint32_t index = 0; status.ok() && index < state_.record_high_water; index++) {
    const BlockRecord& block = segment_.block(index);
    if ((block.kind & kFreeBit) == 0) continue;
    const bool small = (block.kind & kSmallBit) != 0;
    status = small ? Bins(segment_, state_.granules, kGranule).insert(index) : Bins(segment_, state_.pages, kPage).insert(index);
  }
  return status;
}

}  // namespace eagleray
