// SPDX-License-Identifier: Apache-2.0
#include "bins.h"

#include <algorithm>
#include <bit>

#include "fault_points.h"

namespace eagleray {
namespace {

// How many blocks of the size's own bin are tried before a larger block is cut.
constexpr uint32_t kOwnBinTries = 8;

}  // namespace

Status corrupt_heap(const char* what) { return Status(Code::kStoreCorrupt, std::string("the heap's records are corrupt: ") + what); }

BinIndex bin_of(uint64_t units) {
  if (units < kSecondLevels) return {0, static_cast<uint32_t>(units)};
  const uint32_t log = static_cast<uint32_t>(std::bit_width(units)) - 1;
  return {log - 3, static_cast<uint32_t>(units >> (log - 4)) - kSecondLevels};
}

Status Bins::insert(uint32_t index) {
  BlockRecord* block = at(index);
  if (block == nullptr || block->size < unit_) return corrupt_heap("a free block without size");
  const BinIndex bin = bin_of(block->size / unit_);
  if (bin.first >= kFirstLevels) return corrupt_heap("a block larger than any heap");
  uint32_t& head = set_.heads[bin.first][bin.second];
  block->prev_free = kNone;
  block->next_free = head;
  if (head != kNone) {
    BlockRecord* next = at(head);
    if (next == nullptr) return corrupt_heap("a bin's head");
    next->prev_free = index;
  }
  head = index;
  EAGLERAY_FAULT("bin.headed");
  set_.second[bin.first] |= 1u << bin.second;
  set_.first |= 1ull << bin.first;
  return Status();
}

Status Bins::remove(uint32_t index) {
  BlockRecord* block = at(index);
  if (block == nullptr || block->size < unit_) return corrupt_heap("a free block without size");
  const BinIndex bin = bin_of(block->size / unit_);
  if (bin.first >= kFirstLevels) return corrupt_heap("a block larger than any heap");
  uint32_t& head = set_.heads[bin.first][bin.second];
  BlockRecord* next = block->next_free == kNone ? nullptr : at(block->next_free);
  BlockRecord* prev = block->prev_free == kNone ? nullptr : at(block->prev_free);
  if ((next == nullptr) != (block->next_free == kNone) || (prev == nullptr) != (block->prev_free == kNone) ||
      (prev == nullptr && head != index) || (prev != nullptr && prev->next_free != index)) {
    return corrupt_heap("the links of a bin");
  }
  if (next != nullptr) next->prev_free = block->prev_free;
  EAGLERAY_FAULT("bin.removing");
  if (prev != nullptr) {
    prev->next_free = block->next_free;
  } else {
    head = block->next_free;
  }
  if (head == kNone) {
    set_.second[bin.first] &= ~(1u << bin.second);
    if (set_.second[bin.first] == 0) set_.first &= ~(1ull << bin.first);
  }
  return Status();
}

Result<uint32_t> Bins::find_in(BinIndex bin, uint64_t bytes, uint32_t limit) const {
  uint32_t index = set_.heads[bin.first][bin.second];
  for (uint32_t tries = 0; index != kNone && tries < limit; tries++) {
    const BlockRecord* block = at(index);
    if (block == nullptr) return corrupt_heap("a link of a bin");
    if (block->size >= bytes) return index;
    index = block->next_free;
  }
  return kNone;
}

Result<uint32_t> Bins::take(uint64_t bytes) {
  const uint64_t units = bytes / unit_;
  const BinIndex own = bin_of(units);
  if (own.first >= kFirstLevels) return Status(Code::kStoreFull);
  Result<uint32_t> found = find_in(own, bytes, kOwnBinTries);
  if (found.ok() && found.value() == kNone) {
    // Every block of a later bin is large enough; take the first bin that is not empty.
    uint32_t first = own.first;
    uint32_t second = own.second + 1 >= 32 ? 0 : set_.second[first] & (~0u << (own.second + 1));
    if (second == 0) {
      const uint64_t levels = set_.first & (~0ull << (own.first + 1));
      first = levels == 0 ? kNone : static_cast<uint32_t>(std::countr_zero(levels));
      if (first != kNone && first >= kFirstLevels) return corrupt_heap("the map of bins");
      second = first == kNone ? 0 : set_.second[first];
    }
    if (second != 0) {
      const uint32_t bin = static_cast<uint32_t>(std::countr_zero(second));
      if (bin >= kSecondLevels) return corrupt_heap("the map of bins");
      found = find_in({first, bin}, bytes, 1);
      if (found.ok() && found.value() == kNone) return corrupt_heap("a bin is marked and has no block of its size");
    } else {
      // Rare: all that is left may be deeper in the size's own bin. Bounded by the number of records.
      found = find_in(own, bytes, segment_.layout().block_capacity);
    }
  }
  if (!found.ok()) return found;
  if (found.value() == kNone) return Status(Code::kStoreFull);
  Status status = remove(found.value());
  if (!status.ok()) return status;
  return found;
}

uint64_t Bins::largest() const {
  if (set_.first == 0) return 0;
  const uint32_t first = static_cast<uint32_t>(std::bit_width(set_.first)) - 1;
  if (first >= kFirstLevels || set_.second[first] == 0) return 0;
  const uint32_t second = static_cast<uint32_t>(std::bit_width(set_.second[first])) - 1;
  if (second >= kSecondLevels) return 0;
  uint64_t largest = 0;
  uint32_t index = set_.heads[first][second];
  for (uint32_t steps = 0; index != kNone && steps < segment_.layout().block_capacity; steps++) {
    const BlockRecord* block = at(index);
    if (block == nullptr) break;
    largest = std::max(largest, block->size);
    index = block->next_free;
  }
  return largest;
}

}  // namespace eagleray
