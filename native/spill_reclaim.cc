// SPDX-License-Identifier: Apache-2.0
// Giving disk back: files without objects are removed, and where objects were in others there come to be holes.
//
// All from what the segment says at the moment, so whoever dies on the way leaves nothing to repair: a file is unlinked by its serial
// number, which is never given out again, and a place in a file that is dead stays dead.
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "fault_points.h"
#include "segment_lock.h"
#include "spill.h"
#include "spill_files.h"

namespace eagleray {
namespace {

using namespace spill_file_state;

// Files unlinked in one go: each may take the file system milliseconds.
constexpr size_t kUnlinksAtOnce = 16;
// From so many dead bytes in a file on, a look at all entries for what lives in it is worth it.
constexpr uint64_t kDeadAtLeastBytes = 4 << 20;

uint32_t end_of(const SpillState& state) { return std::min(state.high_water, kSpillFiles); }

bool unlink_some(Segment& segment, uint32_t slot, uint32_t generation) {
  SpillState& state = segment.spill();
  const Result<int> directory = segment.spill_directory();
  if (!directory.ok()) return false;
  std::vector<std::pair<uint32_t, uint64_t>> dead;  // index, serial
  {
    SegmentLock lock(segment, slot, generation);
    if (!lock.ok()) return false;
    for (uint32_t i = 0; i < end_of(state) && dead.size() < kUnlinksAtOnce; i++) {
      if (segment.spill_file(i).state == kDead) dead.push_back({i, segment.spill_file(i).serial});
    }
  }
  if (dead.empty()) return false;
  for (const auto& [index, serial] : dead) (void)unlinkat(directory.value(), std::to_string(serial).c_str(), 0);
  EAGLERAY_FAULT("spill.unlinked");
  SegmentLock lock(segment, slot, generation);
  if (!lock.ok()) return false;
  for (const auto& [index, serial] : dead) {
    SpillFile& file = segment.spill_file(index);
    if (file.state != kDead || file.serial != serial) continue;
    state.disk_bytes -= std::min(file.bytes - file.holes, state.disk_bytes);
    file.state = kFree;
    state.dead_files.fetch_sub(1, std::memory_order_relaxed);
  }
  return true;
}

// What is no object's of the file, below where it is settled. REQUIRES: the segment lock is held.
std::vector<DiskRange> dead_ranges(const Segment& segment, uint32_t index) {
  std::vector<DiskRange> living;
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    if (segment.detail(i).file != index + 1) continue;
    const uint64_t begin = segment.detail(i).file_offset;
    living.push_back({begin, begin + segment.entry(i).size.load(std::memory_order_relaxed)});
  }
  std::sort(living.begin(), living.end(), [](const DiskRange& a, const DiskRange& b) { return a.begin < b.begin; });
  std::vector<DiskRange> dead;
  uint64_t at = 0;
  living.push_back({segment.spill_file(index).settled, segment.spill_file(index).settled});
  for (const DiskRange& range : living) {
    // Whole pages only: the file system frees no less.
    const uint64_t begin = (at + kPage - 1) / kPage * kPage;
    const uint64_t end = range.begin / kPage * kPage;
    if (begin < end) dead.push_back({begin, end});
    at = std::max(at, range.end);
  }
  return dead;
}

// One file: the one with the most dead in it, if that is `at_least` bytes.
bool punch_one(Segment& segment, uint32_t slot, uint32_t generation, uint64_t at_least) {
  SpillState& state = segment.spill();
  if (!segment.spill_directory().ok()) return false;
  uint32_t index = kNone;
  uint64_t serial = 0, counted = 0;
  std::vector<DiskRange> dead;
  {
    SegmentLock lock(segment, slot, generation);
    if (!lock.ok()) return false;
    for (uint32_t i = 0; i < end_of(state); i++) {
      const SpillFile& file = segment.spill_file(i);
      if ((file.state == kOpen || file.state == kClosed) && file.dead >= std::max(at_least, counted + 1)) {
        index = i;
        counted = file.dead;
      }
    }
    if (index == kNone) return false;
    serial = segment.spill_file(index).serial;
    dead = dead_ranges(segment, index);
  }
  const uint64_t holes = punch_spilled(segment, serial, dead);
  EAGLERAY_FAULT("spill.punched");
  SegmentLock lock(segment, slot, generation);
  SpillFile& file = segment.spill_file(index);
  if (!lock.ok() || file.serial != serial || (file.state != kOpen && file.state != kClosed)) return true;
  const uint64_t gained = holes > file.holes ? holes - file.holes : 0;  // another may have punched as much meanwhile
  file.holes += gained;
  state.disk_bytes -= std::min(gained, state.disk_bytes);
  const uint64_t settled = std::min(counted, file.dead);
  file.dead -= settled;
  state.dead_bytes.fetch_sub(settled, std::memory_order_relaxed);
  return true;
}

}  // namespace

void reclaim_disk(Segment& segment, uint32_t slot, uint32_t generation, bool all) {
  SpillState& state = segment.spill();
  while (state.dead_files.load(std::memory_order_relaxed) > 0 && unlink_some(segment, slot, generation)) {
  }
  const uint64_t at_least = all ? 1 : kDeadAtLeastBytes;
  while (state.dead_bytes.load(std::memory_order_relaxed) >= at_least && punch_one(segment, slot, generation, at_least)) {
  }
}

}  // namespace eagleray
