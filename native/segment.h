// SPDX-License-Identifier: Apache-2.0
// The segment file as this process maps it: `<directory>/segment`, twice.
//
//   shared   read-write; control structures, and where writers put objects
//   private  copy on write; where readers look at objects, so that a stray write hurts nobody
//
// Decides nothing: makes, checks, maps and reserves. The file gets its name only when it is complete, so whoever can open it
// finds a whole segment or garbage, and garbage is an error.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "layout.h"
#include "spill_directory.h"
#include "status.h"

namespace eagleray {

struct SegmentOptions {
  uint64_t capacity_bytes = 0;  // of the heap; rounded up to whole pages
  uint32_t table_capacity = 0;  // objects at most, rounded up to a power of two; 0 derives it from capacity_bytes
  NodeId node_id{};
  // Where objects go when the heap is full: an existing directory for this store alone. Empty: nowhere, and a full store is an error.
  std::string spill_directory = {};
  uint64_t spill_quota_bytes = ~0ull;  // what the files there may take
};

class Segment {
 public:
  // Makes the directory (0700, must not exist) and in it the file (0600). kStoreSpace when the file system has less room than
  // capacity_bytes. Leaves nothing behind on failure.
  static Result<std::unique_ptr<Segment>> create(const std::string& directory, const SegmentOptions& options);
  // Maps an existing one. kStoreVersion or kStoreCorrupt when the file is not a whole segment of this version.
  static Result<std::unique_ptr<Segment>> open(const std::string& directory);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const std::string& directory() const { return directory_; }
  const Layout& layout() const { return layout_; }
  std::byte* shared_base() const { return shared_; }
  std::byte* private_base() const { return private_; }

  SegmentHeader& header() const { return *reinterpret_cast<SegmentHeader*>(shared_); }
  ClientRecord& client(uint32_t slot) const { return reinterpret_cast<ClientRecord*>(shared_ + layout_.clients)[slot]; }
  WaiterBucket& waiters(uint32_t bucket) const { return reinterpret_cast<WaiterBucket*>(shared_ + layout_.waiters)[bucket]; }
  AllocatorState& allocator() const { return *reinterpret_cast<AllocatorState*>(shared_ + layout_.allocator); }
  TableState& table() const { return *reinterpret_cast<TableState*>(shared_ + layout_.table); }
  BucketHead& bucket(uint32_t index) const { return reinterpret_cast<BucketHead*>(shared_ + layout_.buckets)[index]; }
  ObjectEntry& entry(uint32_t index) const { return reinterpret_cast<ObjectEntry*>(shared_ + layout_.entries)[index]; }
  ObjectDetail& detail(uint32_t index) const { return reinterpret_cast<ObjectDetail*>(shared_ + layout_.details)[index]; }
  SpillState& spill() const { return *reinterpret_cast<SpillState*>(shared_ + layout_.spill); }
  SpillFile& spill_file(uint32_t index) const {
    return reinterpret_cast<SpillFile*>(shared_ + layout_.spill + sizeof(SpillState))[index];
  }
  CallSite& site(uint32_t index) const { return reinterpret_cast<CallSite*>(shared_ + layout_.sites)[index]; }
  BlockRecord& block(uint32_t index) const { return reinterpret_cast<BlockRecord*>(shared_ + layout_.blocks)[index]; }
  ChannelRegion channels() const { return ChannelRegion(shared_ + layout_.channels); }
  std::byte* heap() const { return shared_ + layout_.heap; }
  const std::byte* private_heap() const { return private_ + layout_.heap; }

  // Whether a record of that index may be touched: the check on indices that come from shared memory.
  bool entry_exists(uint32_t index) const {
    const uint64_t end = (index + 1ull) * sizeof(ObjectEntry);
    return index < layout_.table_capacity && end <= header().entries_backed.load(std::memory_order_acquire);
  }
  bool block_exists(uint32_t index) const {
    const uint64_t end = (index + 1ull) * sizeof(BlockRecord);
    return index < layout_.block_capacity && end <= header().blocks_backed.load(std::memory_order_acquire);
  }

  // How many entries may be in use, from the first on; never more than may be touched. REQUIRES: the segment lock is held.
  uint32_t entry_end() const {
    const uint64_t backed = header().entries_backed.load(std::memory_order_acquire) / sizeof(ObjectEntry);
    return static_cast<uint32_t>(std::min({uint64_t{table().high_water}, uint64_t{layout_.table_capacity}, backed}));
  }

  // Reserves [offset, offset + length) of the file, so that touching it cannot fail. Idempotent, and safe to race with itself.
  // kStoreSpace when the file system is full.
  Status ensure_backed(uint64_t offset, uint64_t length);
  // The same for a section that is reserved from its start on, in steps: [0, end) of it, `mark` being the section's mark in the header.
  Status ensure_prefix_backed(std::atomic<uint64_t>& mark, uint64_t section, uint64_t section_bytes, uint64_t end, uint64_t step);
  // The heap's [0, end), in steps of kHeapStepBytes.
  Status ensure_heap_backed(uint64_t end);
  // Writes to the heap through the file, which needs no page tables of this process. False when it cannot; then nothing can be said
  // of those bytes. REQUIRES: [offset, offset + length) is reserved.
  bool write_heap(uint64_t offset, const std::byte* bytes, uint64_t length);
  // Likewise reads. False when it cannot; errno says why.
  bool read_heap(uint64_t offset, std::byte* target, uint64_t length);
  // The file that this maps, for this process.
  std::string open_path() const { return "/proc/self/fd/" + std::to_string(file_); }
  // A descriptor of the directory of spilled objects, open as long as the segment. kSystem when it is not what it was.
  Result<int> spill_directory() { return spill_directory_.descriptor(spill()); }
  // What the file of spilled objects of that serial number is called in messages; it is opened through spill_directory().
  std::string spill_path(uint64_t serial) const { return directory_ + "/spill/" + std::to_string(serial); }
  // The records up to and including `index`. Do nothing but compare when they are reserved already.
  Status ensure_entry_backed(uint32_t index);
  Status ensure_block_backed(uint32_t index);

 private:
  Segment(std::string directory, int file, const Layout& layout);
  Status map();
  static Result<std::unique_ptr<Segment>> fill(std::unique_ptr<Segment> segment, const SegmentOptions& options);

  std::string directory_;
  int file_;
  Layout layout_;
  SpillDirectory spill_directory_;
  std::byte* shared_ = nullptr;
  std::byte* private_ = nullptr;
};

// How much heap is reserved ahead at once: large enough to be rare, small enough to take milliseconds.
inline constexpr uint64_t kHeapStepBytes = 64ull << 20;

}  // namespace eagleray
