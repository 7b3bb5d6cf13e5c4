// SPDX-License-Identifier: Apache-2.0
// The lists of free blocks by size: which list a size belongs to, and the way in and out of one.
//
// `unit` is kPage or kGranule; a size is a whole number of units. Sizes below kSecondLevels units have a bin each; above that, a
// bin spans a sixteenth of a power of two, so the first block of any bin of a size rounded up is large enough.
#pragma once

#include "segment.h"
#include "status.h"

namespace eagleray {

struct BinIndex {
  uint32_t first;
  uint32_t second;
};

// The bin that holds free blocks of `units`. REQUIRES: units >= 1.
BinIndex bin_of(uint64_t units);

class Bins {
 public:
  Bins(Segment& segment, BinSet& set, uint64_t unit) : segment_(segment), set_(set), unit_(unit) {}

  // REQUIRES: the block is free, in no list, its size set.
  Status insert(uint32_t index);
  Status remove(uint32_t index);
  // Takes a block of at least `bytes` out of its list; kStoreFull when there is none. Looks at a few blocks of the size's own
  // bin first (a block of just that size was likely freed a moment ago), then at the next larger bins.
  Result<uint32_t> take(uint64_t bytes);
  // The size of the largest block, 0 when there is none.
  uint64_t largest() const;

 private:
  // The first block of at least `bytes` among the first `limit` of the bin; kNone when there is none.
  Result<uint32_t> find_in(BinIndex bin, uint64_t bytes, uint32_t limit) const;
  BlockRecord* at(uint32_t index) const { return segment_.block_exists(index) ? &segment_.block(index) : nullptr; }

  Segment& segment_;
  BinSet& set_;
  uint64_t unit_;
};

// The Status of metadata that no client of this version can have written.
Status corrupt_heap(const char* what);

}  // namespace eagleray
