// SPDX-License-Identifier: Apache-2.0
// Proves the allocator's invariants from its records, by other means than it keeps them.
#include <vector>

#include "allocator.h"
#include "bins.h"

namespace eagleray {

using block_kind::kChunkFirstBit;
using block_kind::kFreeBit;
using block_kind::kSmallBit;
using block_kind::kUsedBit;

namespace {

std::string at_offset(const BlockRecord& block) { return "heap: the block at " + std::to_string(block.offset); }

// What is wrong with one block by itself, or beside the one before it.
std::optional<std::string> check_block(const BlockRecord& block, const BlockRecord* before) {
  const bool free = (block.kind & kFreeBit) != 0;
  const bool small = (block.kind & kSmallBit) != 0;
  const bool first = (block.kind & kChunkFirstBit) != 0;
  if (free == ((block.kind & kUsedBit) != 0)) return at_offset(block) + " is neither free nor used, or both";
  const uint64_t unit = small ? kGranule : kPage;
  if (block.size == 0 || block.offset % unit != 0 || block.size % unit != 0) return at_offset(block) + " is not in whole units";
  if (first && (!small || block.offset % kPage != 0)) return at_offset(block) + " cannot begin a chunk";
  const bool before_small = before != nullptr && (before->kind & kSmallBit) != 0;
  const bool before_free = before != nullptr && (before->kind & kFreeBit) != 0;
  if (small && !first && !before_small) return at_offset(block) + " is in no chunk";
  if (before_small && (!small || first) && block.offset % kPage != 0) return at_offset(block) + " follows a chunk that ends within a page";
  if (free && before_free && !first && small == before_small) return at_offset(block) + " is free and touches a free one";
  return std::nullopt;
}

}  // namespace

// Visits every record, and asserts that each is met exactly where it belongs.
class AllocatorCheck {
 public:
  using Wrong = std::optional<std::string>;

  explicit AllocatorCheck(const Allocator& allocator)
      : allocator_(allocator), segment_(allocator.segment_), state_(allocator.state_), records_(state_.record_high_water) {}

  Wrong run() {
    if (records_ == 0 || !segment_.block_exists(records_ - 1)) return "heap: an impossible number of records";
    seen_.assign(records_, kNowhere);
    Wrong wrong = walk_heap();
    if (!wrong.has_value()) wrong = walk_bins(state_.pages, false);
    if (!wrong.has_value()) wrong = walk_bins(state_.granules, true);
    if (!wrong.has_value()) wrong = walk_empty_chunks();
    if (!wrong.has_value() && listed_ != free_) wrong = "heap: a free block is in no list";
    if (!wrong.has_value()) wrong = walk_unused();
    return wrong;
  }

 private:
  enum Seen : uint8_t { kNowhere, kFree, kSettled };

  Wrong walk_heap() {
    uint32_t index = kNone;
    for (uint32_t i = 0; i < records_; i++) {
      const BlockRecord& block = segment_.block(i);
      if (block.kind == block_kind::kUnused || block.prev != kNone) continue;
      if (index != kNone) return "heap: two blocks are the first";
      index = i;
    }
    uint64_t position = 0, used = 0;
    for (uint32_t previous = kNone; index != kNone; index = segment_.block(index).next) {
      if (index >= records_ || seen_[index] != kNowhere) return "heap: the blocks' links lead astray";
      const BlockRecord& block = segment_.block(index);
      if (block.offset != position || block.prev != previous) return at_offset(block) + " leaves a gap or overlaps";
      Wrong wrong = check_block(block, previous == kNone ? nullptr : &segment_.block(previous));
      if (wrong.has_value()) return wrong;
      const bool free = (block.kind & kFreeBit) != 0;
      seen_[index] = free ? kFree : kSettled;
      free_ += free;
      used += free ? 0 : block.size;
      in_heap_++;
      position += block.size;
      previous = index;
    }
    if (position != segment_.layout().heap_bytes) return "heap: the blocks end at " + std::to_string(position);
    if (used != state_.used_bytes) return "heap: used are " + std::to_string(used) + " bytes, counted " + std::to_string(state_.used_bytes);
    return std::nullopt;
  }

  template <typename Belongs>
  Wrong walk_list(uint32_t head, Belongs belongs) {
    for (uint32_t index = head; index != kNone; index = segment_.block(index).next_free) {
      if (index >= records_ || seen_[index] != kFree) return "heap: a list of free blocks holds another";
      if (!belongs(segment_.block(index))) return at_offset(segment_.block(index)) + " is in the list of another size";
      seen_[index] = kSettled;
      listed_++;
    }
    return std::nullopt;
  }

  Wrong walk_bins(const BinSet& set, bool small) {
    for (uint32_t f = 0; f < kFirstLevels; f++) {
      if (((set.first >> f & 1) != 0) != (set.second[f] != 0)) return "heap: the map of bins is wrong";
      for (uint32_t s = 0; s < kSecondLevels; s++) {
        if (((set.second[f] >> s & 1) != 0) != (set.heads[f][s] != kNone)) return "heap: the map of bins is wrong";
        Wrong wrong = walk_list(set.heads[f][s], [&](const BlockRecord& block) {
          const BinIndex bin = bin_of(block.size / (small ? kGranule : kPage));
          return ((block.kind & kSmallBit) != 0) == small && !allocator_.fills_chunk(block) && bin.first == f && bin.second == s;
        });
        if (wrong.has_value()) return wrong;
      }
    }
    return std::nullopt;
  }

  Wrong walk_empty_chunks() {
    const uint32_t before = listed_;
    Wrong wrong = walk_list(state_.empty_chunks, [this](const BlockRecord& block) { return allocator_.fills_chunk(block); });
    if (!wrong.has_value() && listed_ - before != state_.empty_chunk_count) wrong = "heap: the number of empty chunks is wrong";
    return wrong;
  }

  Wrong walk_unused() {
    uint32_t unused = 0;
    for (uint32_t index = state_.free_record; index != kNone; index = segment_.block(index).next_free) {
      if (index >= records_ || seen_[index] != kNowhere || segment_.block(index).kind != block_kind::kUnused) {
        return "heap: the list of unused records holds another";
      }
      seen_[index] = kSettled;
      unused++;
    }
    if (unused + in_heap_ != records_) return "heap: a record is in no list";
    return std::nullopt;
  }

  const Allocator& allocator_;
  const Segment& segment_;
  const AllocatorState& state_;
  const uint32_t records_;
  std::vector<uint8_t> seen_;
  uint32_t in_heap_ = 0;
  uint32_t free_ = 0;
  uint32_t listed_ = 0;
};

std::optional<std::string> Allocator::check() const { return AllocatorCheck(*this).run(); }

}  // namespace eagleray
