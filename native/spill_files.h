// SPDX-License-Identifier: Apache-2.0
// The files of spilled objects, as the segment keeps them: who appends to which, how much is in each, which are dead. Decides places;
// reads and writes nothing.
//
// Objects are fused into files of kFusedFileBytes, so that ten thousand small objects are not ten thousand files. A file has one
// writer, a client, and goes when it is closed and its last object is gone. A client has two open at most: one that it takes objects out of
// memory into, and one in which it makes those that memory has no room for.
//
// Invariants (check() proves them):
//  (1) A file's `objects` is the number of entries in use whose detail names it.
//  (2) The place of an object lies within its file's `bytes`.
//  (3) disk_bytes is the sum of `bytes` less `holes` of the files that are not free; dead_files counts the dead ones.
// Threads: the caller holds the segment lock, but for unlink_dead() and the reads of atomics.
#pragma once

#include <optional>
#include <string>

#include "segment.h"
#include "status.h"

namespace eagleray {

inline constexpr uint64_t kFusedFileBytes = 64ull << 20;

struct DiskPlace {
  uint32_t file = 0;  // index
  uint64_t serial = 0;
  uint64_t offset = 0;
};

class SpillFiles {
 public:
  explicit SpillFiles(Segment& segment) : segment_(segment), state_(segment.spill()) {}

  static bool enabled(const Segment& segment) { return segment.spill().quota_bytes.load(std::memory_order_relaxed) != 0; }

  // The file that this client appends to now: a new one when the last is full. kDiskFull when the records do not allow it.
  // REQUIRES: nothing the client appended is without its attach().
  Result<uint32_t> writing(uint32_t slot, uint32_t generation);
  // Room for `bytes` at the end of that file; objects whose block is pages begin on a page, so that they can be mapped. kDiskFull when
  // the quota does not allow it.
  Result<DiskPlace> append(uint32_t file, uint64_t bytes);
  // Room for an object that is made on disk: in the file that the client makes such in, or, a large one, in a file of its own. The
  // caller attaches it in the same hold of the lock. kDiskFull as above.
  Result<DiskPlace> make(uint32_t slot, uint32_t generation, uint64_t bytes);
  // The entry's copy is at that place; one more object of the file.
  void attach(uint32_t entry, const DiskPlace& place);
  // The entry has no copy any more. Nothing when it had none.
  void detach(uint32_t entry);
  // All that was appended to the file has its attach(), or was given up.
  void settle_writes(uint32_t file) { segment_.spill_file(file).settled = segment_.spill_file(file).bytes; }
  // Bytes given out by append() that are no object's after all.
  void waste(uint32_t file, uint64_t bytes);
  // Nobody appends as that client any more.
  void close_of(uint32_t slot, uint32_t generation);
  // Nor makes objects in the file that it had for that.
  void close_making_of(uint32_t slot, uint32_t generation);
  // Where the copy of an entry is; nothing when it has none, or one that cannot be.
  std::optional<DiskPlace> place_of(uint32_t entry) const;

  // Counts from the details of the entries in use alone.
  void rebuild();
  std::optional<std::string> check() const;

 private:
  Result<uint32_t> writing_for(uint32_t slot, uint32_t generation, bool making);
  Result<DiskPlace> alone(uint64_t bytes);
  void close(uint32_t index);
  Status within_quota(uint64_t bytes) const;
  Result<uint32_t> open(uint32_t slot, uint32_t generation, uint32_t state);
  void settle(SpillFile& file);

  Segment& segment_;
  SpillState& state_;
};

// Gives back what is dead on disk: removes files that hold nothing, and punches holes where objects were in the others once that is
// worth it (or, `all`, wherever it can). Takes the lock by itself; costs nothing but a look when there is nothing.
void reclaim_disk(Segment& segment, uint32_t slot, uint32_t generation, bool all);

}  // namespace eagleray
