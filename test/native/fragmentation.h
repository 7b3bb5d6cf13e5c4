// SPDX-License-Identifier: Apache-2.0
// A heap kept nine tenths full by objects of 64 B to 256 MiB that live for random times: how much of it can be used before an
// allocation fails, and how much is lost to rounding. Only records are touched: the heap itself stays a hole in its file.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "allocator.h"

namespace eagleray {

struct Fragmentation {
  uint64_t operations = 0;
  uint64_t allocated = 0;
  uint64_t failed = 0;          // allocations refused although the bytes were there, though not in one piece
  double lowest = 1;            // bytes in use when one was refused, of the heap: the worst
  double mean = 0;              // the same, the mean over the refusals
  double rounding = 0;          // bytes asked for, of the bytes that blocks took
  std::string wrong;            // a broken invariant; empty when none is
};

class FragmentationRun {
 public:
  FragmentationRun(Segment& segment, uint64_t largest, uint64_t seed)
      : heap_(segment.layout().heap_bytes), entries_(segment.layout().table_capacity), largest_(largest), allocator_(segment),
        random_(seed) {}

  Fragmentation run(uint64_t operations) {
    double sum = 0;
    while (result_.operations < operations && result_.wrong.empty()) {
      const uint64_t size = draw();
      const uint64_t bytes = block_bytes(size);
      // Room is made as a program makes it: by objects whose time has come, whichever they are.
      while (!used_.empty() && (allocator_.used_bytes() + bytes > heap_ / 10 * 9 || used_.size() >= entries_)) drop();
      const Result<uint32_t> block = allocator_.allocate(bytes, static_cast<uint32_t>(used_.size()));
      result_.operations++;
      if (block.ok()) {
        used_.push_back({block.value(), size});
        asked_ += size;
        result_.allocated++;
      } else {
        const double filled = static_cast<double>(allocator_.used_bytes()) / static_cast<double>(heap_);
        result_.failed++;
        sum += filled;
        result_.lowest = std::min(result_.lowest, filled);
        for (int i = 0; i < 8 && !used_.empty(); i++) drop();
      }
      if (result_.operations % check_every_ == 0) check();
    }
    check();
    result_.mean = result_.failed == 0 ? 1 : sum / static_cast<double>(result_.failed);
    result_.rounding = static_cast<double>(asked_) / static_cast<double>(allocator_.used_bytes());
    return result_;
  }

 private:
  struct Used {
    uint32_t block;
    uint64_t size;
  };

  // Sizes spread evenly over powers of two, so that there are as many of 64 B to 128 B as of 128 MiB to 256 MiB: each power then
  // takes twice the bytes of the one below, and small ones lie between large ones everywhere.
  uint64_t draw() {
    const double most = std::log2(static_cast<double>(largest_) / 64);
    const double power = std::uniform_real_distribution<double>(0, most)(random_);
    return static_cast<uint64_t>(64 * std::exp2(power));
  }
  void drop() {
    const size_t n = random_() % used_.size();
    if (!allocator_.free(used_[n].block).ok()) result_.wrong = "a block cannot be freed";
    asked_ -= used_[n].size;
    used_[n] = used_.back();
    used_.pop_back();
    result_.operations++;
  }
  void check() {
    const std::optional<std::string> wrong = allocator_.check();
    if (wrong.has_value()) result_.wrong = *wrong;
  }

  const uint64_t heap_, entries_, largest_;
  const uint64_t check_every_ = 20'000;
  Allocator allocator_;
  std::mt19937_64 random_;
  std::vector<Used> used_;
  uint64_t asked_ = 0;
  Fragmentation result_;
};

inline void print(const Fragmentation& result) {
  std::printf("%llu operations, %llu objects, %llu refused for want of one piece at a filling of %.1f %% (lowest %.1f %%); "
              "asked for are %.1f %% of the bytes that blocks take\n",
              static_cast<unsigned long long>(result.operations), static_cast<unsigned long long>(result.allocated),
              static_cast<unsigned long long>(result.failed), 100 * result.mean, 100 * result.lowest, 100 * result.rounding);
}

}  // namespace eagleray
