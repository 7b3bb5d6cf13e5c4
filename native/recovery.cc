// SPDX-License-Identifier: Apache-2.0
#include "recovery.h"

#include <algorithm>
#include <vector>

#include "allocator.h"
#include "fault_points.h"
#include "object_table.h"
#include "secondaries.h"
#include "spill_files.h"

namespace eagleray {
namespace {

// An eviction that did not come to its end did not happen; one that did has no block, whatever the entry still says.
void settle_eviction(ObjectEntry& entry) {
  const uint64_t word = entry.state.load(std::memory_order_acquire);
  const uint64_t generation = object_state::generation(word);
  if (object_state::state(word) == object_state::kEvicting) {
    entry.state.store(object_state::make(object_state::kSealed, generation), std::memory_order_seq_cst);
  } else if (object_state::state(word) == object_state::kSpilled) {
    entry.offset.store(kNowhere, std::memory_order_relaxed);
    entry.block = kNone;
  }
}

std::vector<Allocator::UsedBlock> collect(const Segment& segment) {
  std::vector<Allocator::UsedBlock> used;
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    ObjectEntry& entry = segment.entry(i);
    if (object_state::state(entry.state.load(std::memory_order_acquire)) == object_state::kFree) continue;
    settle_eviction(entry);
    const uint64_t offset = entry.offset.load(std::memory_order_relaxed);
    if (offset == kNowhere) continue;  // on disk alone
    used.push_back({offset, block_bytes(std::min(entry.size.load(std::memory_order_relaxed), kMaxHeapBytes)), i});
  }
  std::sort(used.begin(), used.end(), [](const auto& a, const auto& b) { return a.offset < b.offset; });
  return used;
}

}  // namespace

Status rebuild_after_death(Segment& segment) {
  SegmentHeader& header = segment.header();
  // Odd already when the one who rebuilt died too.
  header.rebuild.fetch_or(1, std::memory_order_seq_cst);
  EAGLERAY_FAULT("rebuild.started");
  Status status = ObjectTable(segment).rebuild();
  EAGLERAY_FAULT("rebuild.table");
  if (status.ok()) {
    std::vector<Allocator::UsedBlock> used = collect(segment);
    status = Allocator(segment).rebuild(used);
    EAGLERAY_FAULT("rebuild.blocks");
    for (const Allocator::UsedBlock& block : used) {
      if (status.ok()) segment.entry(block.entry).block = block.block;
    }
  }
  EAGLERAY_FAULT("rebuild.before_end");
  SpillFiles(segment).rebuild();
  recount_secondaries(segment);
  if (!status.ok()) header.corrupt.store(1, std::memory_order_seq_cst);
  header.rebuild.fetch_add(1, std::memory_order_seq_cst);
  return status;
}

}  // namespace eagleray
