// SPDX-License-Identifier: Apache-2.0
// Hands out blocks of the heap. Decides placement only: it does not map, reserve, zero, lock or evict.
//
// Two-level segregated fit over records beside the heap (never in it: stray writes of users hit no metadata, and free memory is
// not touched). Blocks of a page or more start on a page and are whole pages. Smaller ones are cut in granules from chunks, which
// are page blocks of up to kChunkBytes set aside for them, so that a chunk that empties is a page block again and small objects
// do not fragment the rest. Work under the lock is bounded: a few bins, a few records.
//
// Prefers warm memory: bins are last in, first out; a block is cut from the low end of what is free, which was used before.
//
// Invariants (check() proves them):
//  (1) Blocks tile the heap in the order of their prev/next links.
//  (2) No two free page blocks touch, and no two free blocks of one chunk; so with n used blocks there are at most
//      4 n + 64 records.
//  (3) Page blocks start and end on a page; small blocks on a granule; a chunk's blocks lie between a kChunkFirstBit and the next
//      block that is not small, or the next kChunkFirstBit.
//  (4) A free block is in exactly one list: of its size's bin, or, when it fills its chunk, of empty_chunks.
//  (5) used_bytes is the sum of the sizes of the used blocks.
// Threads: the caller holds the segment lock for everything here. Impossible metadata is kStoreCorrupt, never a wild access.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "segment.h"
#include "status.h"

namespace eagleray {

inline constexpr uint64_t kChunkBytes = 64 * 1024;
inline constexpr uint32_t kEmptyChunksKept = 16;

class Allocator {
 public:
  explicit Allocator(Segment& segment) : segment_(segment), state_(segment.allocator()) {}

  // Makes the whole heap one free block.
  Status format();

  // Takes a block of exactly `bytes` (a value of block_bytes()) for the entry; gives its record. kStoreFull when none fits.
  Result<uint32_t> allocate(uint64_t bytes, uint32_t entry);
  Status free(uint32_t block);

  // Forgets everything and starts from the blocks that objects have. `used` is sorted by offset; sets each one's `block`.
  // kStoreCorrupt when they overlap or leave the heap.
  struct UsedBlock {
    uint64_t offset;
    uint64_t bytes;
    uint32_t entry;
    uint32_t block = kNone;
  };
  Status rebuild(std::vector<UsedBlock>& used);

  uint64_t used_bytes() const { return state_.used_bytes; }
  // The largest block that can be allocated now.
  uint64_t largest_free() const;
  // What is wrong; nothing when every invariant holds.
  std::optional<std::string> check() const;

 private:
  friend class AllocatorRebuild;
  friend class AllocatorCheck;

  Result<uint32_t> allocate_pages(uint64_t bytes);
  Result<uint32_t> allocate_small(uint64_t bytes);
  Result<uint32_t> new_chunk();
  // Cuts `bytes` off the low end of a block that is in no list; the rest becomes a free block.
  Status split(uint32_t index, uint64_t bytes);
  Status free_page_block(uint32_t index);
  Status free_small_block(uint32_t index);
  // Joins `index` with its successor, which is in no list, and gives up the successor's record.
  Status absorb_next(uint32_t index);
  Status release_empty_chunk();

  BlockRecord* at(uint32_t index) const;
  bool fills_chunk(const BlockRecord& block) const;
  Result<uint32_t> take_record();
  void give_record(uint32_t index);

  Segment& segment_;
  AllocatorState& state_;
};

}  // namespace eagleray
