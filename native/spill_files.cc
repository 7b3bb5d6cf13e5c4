// SPDX-License-Identifier: Apache-2.0
#include "spill_files.h"

#include <algorithm>
#include <vector>

namespace eagleray {
namespace {

using namespace spill_file_state;

uint32_t end_of(const SpillState& state) { return std::min(state.high_water, kSpillFiles); }

bool is_open_of(const SpillFile& file, uint32_t slot, uint32_t generation) {
  return file.state == kOpen && file.writer_slot == slot && file.writer_generation == generation;
}

}  // namespace

Result<uint32_t> SpillFiles::open(uint32_t slot, uint32_t generation, uint32_t state) {
  uint32_t index = 0;
  while (index < end_of(state_) && segment_.spill_file(index).state != kFree) index++;
  if (index >= kSpillFiles) return Status(Code::kDiskFull, "all " + std::to_string(kSpillFiles) + " files of spilled objects are in use");
  SpillFile& file = segment_.spill_file(index);
  file = SpillFile{};
  file.serial = state_.next_serial++;
  file.writer_slot = static_cast<uint16_t>(slot);
  file.writer_generation = generation;
  file.state = state;
  state_.high_water = std::max(state_.high_water, index + 1);
  return index;
}

Result<uint32_t> SpillFiles::writing(uint32_t slot, uint32_t generation) { return writing_for(slot, generation, false); }

Result<uint32_t> SpillFiles::writing_for(uint32_t slot, uint32_t generation, bool making) {
  for (uint32_t i = 0; i < end_of(state_); i++) {
    SpillFile& file = segment_.spill_file(i);
    if (!is_open_of(file, slot, generation) || (file.making != 0) != making) continue;
    if (file.bytes < kFusedFileBytes) return i;
    file.state = kClosed;
    settle(file);
  }
  const Result<uint32_t> opened = open(slot, generation, kOpen);
  if (opened.ok()) segment_.spill_file(opened.value()).making = making;
  return opened;
}

Result<DiskPlace> SpillFiles::make(uint32_t slot, uint32_t generation, uint64_t bytes) {
  if (bytes >= kFusedFileBytes) return alone(bytes);
  const Result<uint32_t> file = writing_for(slot, generation, true);
  if (!file.ok()) return file.status();
  const Result<DiskPlace> place = append(file.value(), bytes);
  if (place.ok()) settle_writes(file.value());
  return place;
}

Status SpillFiles::within_quota(uint64_t bytes) const {
  const uint64_t quota = state_.quota_bytes.load(std::memory_order_relaxed);
  if (bytes <= quota && state_.disk_bytes <= quota - bytes) return Status();
  return Status(Code::kDiskFull, "files of spilled objects take " + std::to_string(state_.disk_bytes) + " of the " + std::to_string(quota) +
                                     " bytes that they may; " + std::to_string(bytes) + " more do not fit");
}

Result<DiskPlace> SpillFiles::append(uint32_t index, uint64_t bytes) {
  Status status = within_quota(bytes);
  if (!status.ok()) return status;
  SpillFile& file = segment_.spill_file(index);
  const uint64_t unit = block_bytes(bytes) >= kPage ? kPage : kGranule;
  const uint64_t offset = (file.bytes + unit - 1) / unit * unit;
  state_.disk_bytes += offset + bytes - file.bytes;
  file.bytes = offset + bytes;
  return DiskPlace{index, file.serial, offset};
}

Result<DiskPlace> SpillFiles::alone(uint64_t bytes) {
  Status status = within_quota(bytes);
  if (!status.ok()) return status;
  const Result<uint32_t> opened = open(0, 0, kClosed);
  if (!opened.ok()) return opened.status();
  SpillFile& file = segment_.spill_file(opened.value());
  file.bytes = bytes;
  file.settled = bytes;
  state_.disk_bytes += bytes;
  return DiskPlace{opened.value(), file.serial, 0};
}

void SpillFiles::attach(uint32_t entry, const DiskPlace& place) {
  ObjectDetail& detail = segment_.detail(entry);
  detail.file_offset = place.offset;
  detail.file = place.file + 1;
  segment_.spill_file(place.file).objects++;
}

void SpillFiles::detach(uint32_t entry) {
  ObjectDetail& detail = segment_.detail(entry);
  const uint32_t index = detail.file - 1;
  detail.file = 0;
  if (index >= end_of(state_)) return;
  SpillFile& file = segment_.spill_file(index);
  if (file.objects > 0) file.objects--;
  waste(index, segment_.entry(entry).size.load(std::memory_order_relaxed));
  settle(file);
}

void SpillFiles::waste(uint32_t index, uint64_t bytes) {
  segment_.spill_file(index).dead += bytes;
  state_.dead_bytes.fetch_add(bytes, std::memory_order_relaxed);
}

// A closed file without objects is dead.
void SpillFiles::settle(SpillFile& file) {
  if (file.state != kClosed || file.objects > 0) return;
  file.state = kDead;
  state_.dead_files.fetch_add(1, std::memory_order_relaxed);
  state_.dead_bytes.fetch_sub(file.dead, std::memory_order_relaxed);
  file.dead = 0;
}

void SpillFiles::close_of(uint32_t slot, uint32_t generation) {
  for (uint32_t i = 0; i < end_of(state_); i++) {
    if (is_open_of(segment_.spill_file(i), slot, generation)) close(i);
  }
}

void SpillFiles::close_making_of(uint32_t slot, uint32_t generation) {
  for (uint32_t i = 0; i < end_of(state_); i++) {
    const SpillFile& file = segment_.spill_file(i);
    if (is_open_of(file, slot, generation) && file.making != 0) close(i);
  }
}

void SpillFiles::close(uint32_t index) {
  SpillFile& file = segment_.spill_file(index);
  file.state = kClosed;
  // Where a batch was when its writer died; too much where some of it had become objects, which costs one look in vain.
  if (file.bytes > file.settled) waste(index, file.bytes - file.settled);
  file.settled = file.bytes;
  settle(file);
}

std::optional<DiskPlace> SpillFiles::place_of(uint32_t entry) const {
  const ObjectDetail& detail = segment_.detail(entry);
  const uint32_t index = detail.file - 1;
  if (index >= end_of(state_)) return std::nullopt;
  const SpillFile& file = segment_.spill_file(index);
  const uint64_t size = segment_.entry(entry).size.load(std::memory_order_relaxed);
  if (file.state == kFree || size > file.bytes || detail.file_offset > file.bytes - size) return std::nullopt;
  return DiskPlace{index, file.serial, detail.file_offset};
}

void SpillFiles::rebuild() {
  state_.high_water = end_of(state_);
  state_.disk_bytes = 0;
  uint32_t dead = 0;
  uint64_t dead_bytes = 0;
  for (uint32_t i = 0; i < state_.high_water; i++) segment_.spill_file(i).objects = 0;
  for (uint32_t i = 0; i < segment_.entry_end(); i++) {
    const bool in_use = object_state::state(segment_.entry(i).state.load(std::memory_order_acquire)) != object_state::kFree;
    const std::optional<DiskPlace> place = in_use ? place_of(i) : std::nullopt;
    if (place.has_value()) {
      segment_.spill_file(place->file).objects++;
    } else {
      segment_.detail(i).file = 0;
    }
  }
  for (uint32_t i = 0; i < state_.high_water; i++) {
    SpillFile& file = segment_.spill_file(i);
    if (file.state > kDead) file.state = kFree;
    if (file.state == kClosed && file.objects == 0) file.state = kDead;
    if (file.state == kDead) {
      dead++;
      file.dead = 0;
    }
    file.holes = std::min(file.holes, file.bytes);
    if (file.state != kFree) state_.disk_bytes += file.bytes - file.holes;
    if (file.state != kFree) dead_bytes += file.dead;
  }
  state_.dead_files.store(dead, std::memory_order_relaxed);
  state_.dead_bytes.store(dead_bytes, std::memory_order_relaxed);
}

std::optional<std::string> SpillFiles::check() const {
  std::vector<uint32_t> objects(end_of(state_), 0);
  for (uint32_t i = 0; i < segment_.entry_end(); i++) {
    if (object_state::state(segment_.entry(i).state.load()) == object_state::kFree || segment_.detail(i).file == 0) continue;
    const std::optional<DiskPlace> place = place_of(i);
    if (!place.has_value()) return "entry " + std::to_string(i) + " has an impossible copy on disk";
    objects[place->file]++;
  }
  uint64_t bytes = 0;
  uint32_t dead = 0;
  for (uint32_t i = 0; i < end_of(state_); i++) {
    const SpillFile& file = segment_.spill_file(i);
    const std::string name = "spill file " + std::to_string(file.serial);
    if (file.state == kFree) continue;
    if (file.state > kDead) return name + " is in an impossible state";
    if (file.objects != objects[i]) return name + " counts " + std::to_string(file.objects) + " objects and has " + std::to_string(objects[i]);
    if (file.state == kClosed && file.objects == 0) return name + " is closed and empty, and not dead";
    if (file.holes > file.bytes || file.settled > file.bytes) return name + " has more holes than bytes";
    bytes += file.bytes - file.holes;
    dead += file.state == kDead;
  }
  if (bytes != state_.disk_bytes) return "spill files take " + std::to_string(bytes) + " bytes and " + std::to_string(state_.disk_bytes) + " are counted";
  if (dead != state_.dead_files.load()) return "the count of dead spill files is wrong";
  return std::nullopt;
}

}  // namespace eagleray
