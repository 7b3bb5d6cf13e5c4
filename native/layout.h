// SPDX-License-Identifier: Apache-2.0
// The segment as a file format. docs/object-layout.md draws it; change kLayoutVersion whenever anything here changes.
//
//   offset 0 +---------------------------------------------+
//            | SegmentHeader       constants, lock, marks  |  one page
//            | ClientRecord[512]   who is attached         |
//            | WaiterBucket[1024]  who waits for a seal    |
//            | AllocatorState      bins of free blocks     |
//            | TableState          free entries            |
//            | BucketHead[capacity]  chains by id          |
//            | SpillState, SpillFile[4096]  files on disk  |
//            | CallSite[1024]      where objects were made |
//            | ObjectEntry[capacity] the objects           |  grows in backing from its start
//            | ObjectDetail[capacity] more of each object  |  grows in backing from its start
//            | BlockRecord[4 capacity + 64]  the heap's map|  grows in backing from its start
//            | channel region (channel_layout.h)           |
//            | heap                (on a huge page)        |  grows in backing from its start
//            +---------------------------------------------+
//
// Offsets and widths are fixed; integers are in the machine's order (the magic tells when it differs). There are no pointers.
// Zero bytes are the valid beginning of every section but the header, the allocator's and the table's state.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "channel_layout.h"
#include "object_id.h"

namespace eagleray {

inline constexpr uint64_t kMagic = 0x31594152454c4741ULL;  // "AGLERAY1" in little-endian bytes
inline constexpr uint32_t kLayoutVersion = 4;
inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kGranule = 64;
inline constexpr uint64_t kHugePage = 2 << 20;
inline constexpr uint32_t kMaxClients = 512;
inline constexpr uint32_t kWaiterBuckets = 1024;
inline constexpr uint32_t kClientWords = kMaxClients / 64;
inline constexpr uint32_t kNone = 0xffffffff;  // no entry, no block
inline constexpr uint64_t kNowhere = ~0ull;     // no place in the heap
inline constexpr uint32_t kSpillFiles = 4096;
inline constexpr uint32_t kCallSites = 1024;

inline constexpr uint64_t kMinHeapBytes = 64 * 1024;
inline constexpr uint64_t kMaxHeapBytes = 1ULL << 46;
inline constexpr uint32_t kMinTableCapacity = 1024;
inline constexpr uint32_t kMaxTableCapacity = 1 << 20;

static_assert(kMailboxes == kMaxClients);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

// Where each section begins. Follows from heap_bytes and table_capacity alone, see compute_layout.
struct Layout {
  uint64_t heap_bytes;
  uint32_t table_capacity;  // entries, and bucket heads; a power of two
  uint32_t block_capacity;
  uint64_t clients;
  uint64_t waiters;
  uint64_t allocator;
  uint64_t table;
  uint64_t buckets;
  uint64_t spill;
  uint64_t sites;
  uint64_t entries;
  uint64_t details;
  uint64_t blocks;
  uint64_t channels;
  uint64_t heap;
  uint64_t file_bytes;
};

struct SegmentHeader {
  // Constant once the file has its name; `checksum` covers them (offset 0 to offsetof checksum).
  uint64_t magic;
  uint32_t version;
  uint32_t header_bytes;
  Layout layout;
  uint8_t node_id[8];  // 5 used
  uint64_t created_at_ms;
  uint64_t checksum;

  // The segment lock (segment_lock.h): 0, or the holder's slot + 1 | generation << 10 | waiters << 31.
  alignas(64) std::atomic<uint32_t> lock;
  // Odd while table and allocator are being rebuilt after a holder of the lock died. A look-up that misses meanwhile takes the lock.
  std::atomic<uint32_t> rebuild;
  // 1: a rebuild found contradictions; the segment is unusable.
  std::atomic<uint32_t> corrupt;
  uint32_t unused;
  // How many bytes of the section, from its start, are reserved in the file. Only ever grow; nobody touches what lies beyond.
  alignas(64) std::atomic<uint64_t> heap_backed;
  std::atomic<uint64_t> entries_backed;
  std::atomic<uint64_t> details_backed;
  std::atomic<uint64_t> blocks_backed;
  alignas(64) std::byte reserved[kPage - 320];
};

// The low byte of a client's state word; the rest is generation (24 bits, grows with each use of the slot) and pid (32 bits).
namespace client_state {
inline constexpr uint64_t kFree = 0;
inline constexpr uint64_t kClaiming = 1;  // pid is set, the rest is being written
inline constexpr uint64_t kLive = 2;
inline constexpr uint64_t kReaping = 3;   // gone or detaching; what it held is being given back

constexpr uint64_t make(uint64_t state, uint32_t generation, uint32_t pid) {
  return state | static_cast<uint64_t>(generation & 0xffffff) << 8 | static_cast<uint64_t>(pid) << 32;
}
constexpr uint64_t state(uint64_t word) { return word & 0xff; }
constexpr uint32_t generation(uint64_t word) { return static_cast<uint32_t>(word >> 8) & 0xffffff; }
constexpr uint32_t pid(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
}  // namespace client_state

// One attached process. free -> claiming -> live -> reaping -> free, each step one compare-and-swap of `state`.
struct alignas(64) ClientRecord {
  std::atomic<uint64_t> state;
  // The process's start in clock ticks since boot (field 22 of /proc/<pid>/stat): tells a reused pid. 0 while claiming.
  std::atomic<uint64_t> start_time;
  WorkerId worker_id;
  uint8_t unused[4];
  uint64_t attached_at_ms;
};

struct alignas(64) WaiterBucket {
  // Bit = the client asked to hear of seals of ids that hash here. Taken (exchanged to 0) by whoever seals such an id.
  std::atomic<uint64_t> clients[kClientWords];
};

// The low byte of an entry's state word; the rest is its generation, which grows each time the entry is freed.
namespace object_state {
inline constexpr uint64_t kFree = 0;
inline constexpr uint64_t kCreating = 1;
inline constexpr uint64_t kSealed = 2;
inline constexpr uint64_t kDeleting = 3;
inline constexpr uint64_t kEvicting = 4;   // sealed, and being taken out of the heap by the holder of the lock
inline constexpr uint64_t kSpilled = 5;    // sealed, and only on disk
inline constexpr uint64_t kRestoring = 6;  // on disk, and being read back into the heap by the client that its detail names
inline constexpr uint64_t kLast = kRestoring;

constexpr uint64_t make(uint64_t state, uint64_t generation) { return generation << 8 | state; }
constexpr uint64_t state(uint64_t word) { return word & 0xff; }
constexpr uint64_t generation(uint64_t word) { return word >> 8; }
// Whether readers find it: sealed, in memory or on disk.
constexpr bool is_present(uint64_t word) {
  const uint64_t is = state(word);
  return is == kSealed || is == kSpilled || is == kRestoring;
}
}  // namespace object_state

// One object. The table of these is the ground truth: bucket chains, free lists and the allocator are rebuilt from it.
//
//   free -> creating -> sealed -> deleting -> free      creating -> free (abort), creating -> spilled (made on disk)
//                       sealed -> evicting -> spilled -> restoring -> sealed      evicting -> sealed (a reader came first)
//                                 evicting -> free (a secondary copy)
//                                             spilled, restoring -> deleting
//
// Everything but `state`, `next`, `pins` and the place in the heap is written under the lock before the entry leaves kFree and is
// constant until it is free again. The place (`offset`, `block`) changes under the lock while nobody has a pin on the entry in the
// heap: the generation grows with each eviction, so that a state word once seen names one place for ever.
struct alignas(64) ObjectEntry {
  std::atomic<uint64_t> state;
  std::atomic<uint64_t> offset;  // from the start of the heap; kNowhere when it has no memory there
  std::atomic<uint64_t> size;    // bytes of the object; the block's size follows from it (block_bytes)
  uint8_t id[kObjectIdBytes];
  std::atomic<uint32_t> next;  // in the bucket's chain; in the list of free entries when free
  uint32_t creator_generation;
  uint16_t creator_slot;
  uint16_t created_millis;  // creation time: created_seconds since 1970, plus these milliseconds
  uint32_t created_seconds;
  uint32_t block;  // the BlockRecord of its memory; kNone as offset
  // Bit = the client process holds at least one pin. Setting and clearing are idempotent; the count is the process's own.
  std::atomic<uint64_t> pins[kClientWords];
};

// More of the object in the entry of the same index. Written under the lock, but for `used`.
struct alignas(32) ObjectDetail {
  // Its copy on disk, which is as good as the object: the file's index + 1 and where in it; 0 when there is none.
  uint32_t file;
  std::atomic<uint32_t> used;  // 1: made or viewed since the eviction hand last passed
  uint64_t file_offset;
  uint32_t restorer_generation;  // who reads it back, in kRestoring
  uint16_t restorer_slot;
  uint16_t secondary;      // 1: a copy of what another node has, to be dropped when room is needed, and never on disk (secondaries.h)
  uint32_t site;           // index + 1 of the CallSite that made it; 0 when not known
  std::atomic<uint32_t> pinned_seconds;  // since 1970: when somebody last went from no view of it to one
};

// A file of spilled objects, appended to by one client until it is full or that client is gone, removed when its last object is.
namespace spill_file_state {
inline constexpr uint32_t kFree = 0;
inline constexpr uint32_t kOpen = 1;    // the writer appends
inline constexpr uint32_t kClosed = 2;  // nobody does any more
inline constexpr uint32_t kDead = 3;    // holds nothing; to be unlinked, then free
}  // namespace spill_file_state

struct SpillFile {
  uint64_t serial;   // its name
  uint64_t bytes;    // given out in it, from its start on
  uint64_t settled;  // below this nobody is writing: what is no object's is a hole or to become one
  uint64_t dead;     // bytes of objects that are gone, and no hole yet
  uint64_t holes;    // bytes given back to the file system
  uint32_t objects;  // whose `file` it is
  uint32_t state;
  uint32_t writer_generation;
  uint16_t writer_slot;
  uint16_t making;  // 1: the writer makes objects in it that memory has no room for, instead of taking objects out of memory
  uint64_t unused;
};

// All guarded by the lock but the atomics.
struct SpillState {
  std::atomic<uint64_t> quota_bytes;  // 0: nothing is ever spilled
  uint64_t disk_bytes;                // sum of `bytes` of the files, less their holes
  uint64_t next_serial;
  uint32_t high_water;  // records at and above have never been used
  uint32_t hand;        // the entry at which the search for one to evict goes on
  std::atomic<uint32_t> dead_files;
  std::atomic<uint64_t> dead_bytes;  // sum of `dead` of the files
  // Grows when the store is filled above the mark where spilling begins: a futex that spill threads sleep on.
  alignas(64) std::atomic<uint32_t> wanted;
  alignas(64) std::atomic<uint64_t> spilled_objects;  // written, ever
  std::atomic<uint64_t> spilled_bytes;
  std::atomic<uint64_t> restored_objects;  // read back, ever
  std::atomic<uint64_t> restored_bytes;
  std::atomic<uint64_t> evicted_objects;  // taken out of the heap, ever
  std::atomic<uint64_t> starved;     // how often all that was in the heap was viewed when somebody needed room
  std::atomic<uint64_t> starved_ms;  // when that was told last, by the monotonic clock
  uint32_t secondaries;     // entries in use whose detail says so
  uint32_t secondary_hand;  // the entry at which the search for one to drop goes on
  std::atomic<uint64_t> dropped_objects;  // secondary copies dropped to make room, ever
  // The directory of the files as it was when the store was made (spill_directory.h). Constant.
  uint64_t directory_device;
  uint64_t directory_inode;
  uint32_t directory_owner;
  uint32_t directory_mode;
  std::byte reserved[4096 - 128 - 96];
};

// "file:line" of a place where objects were made, zero-terminated. Never changes once it is counted in `TableState::sites`.
struct CallSite {
  char text[128];
};

// A chain's head with a version, in one word: version (upper half) grows whenever an entry leaves the chain, so a reader that
// was led astray by an entry reused meanwhile can tell. head (lower half) is an entry's index + 1; 0 is the empty chain.
using BucketHead = std::atomic<uint64_t>;

struct TableState {
  uint32_t free_head;   // most recently freed entry: its lines are warm
  uint32_t high_water;  // entries at and above have never been used
  uint32_t used;
  uint32_t sites;  // call sites known
  uint32_t unused[12];
};

// One block of the heap, used or free. Blocks tile the heap in the order of prev/next.
struct BlockRecord {
  uint64_t offset;
  uint64_t size;
  uint32_t prev;  // neighbours in the heap; kNone at the ends
  uint32_t next;
  uint32_t prev_free;  // neighbours in the bin, when free; next_free links the unused records too
  uint32_t next_free;
  uint32_t kind;   // block_kind
  uint32_t entry;  // the owner when used, else kNone
  uint64_t unused[3];
};

namespace block_kind {
inline constexpr uint32_t kUnused = 0;  // the record stands for no block
inline constexpr uint32_t kFreeBit = 1;
inline constexpr uint32_t kUsedBit = 2;
inline constexpr uint32_t kSmallBit = 4;       // lies in a chunk for objects below a page
inline constexpr uint32_t kChunkFirstBit = 8;  // first block of its chunk
}  // namespace block_kind

// Two-level segregated fit: free blocks of `n` units lie in bin (first, second), where `first` is the power of two below n and
// `second` one of 16 equal parts of its range.
inline constexpr uint32_t kFirstLevels = 44;
inline constexpr uint32_t kSecondLevels = 16;

struct BinSet {
  uint64_t first;  // bit f: some bin of level f is not empty
  uint32_t second[kFirstLevels];
  uint32_t heads[kFirstLevels][kSecondLevels];  // most recently freed first: its pages are warm
};

struct AllocatorState {
  BinSet pages;     // units of kPage: blocks that start and end on a page
  BinSet granules;  // units of kGranule: blocks within chunks for small objects
  uint32_t empty_chunks;        // list of free blocks that fill their chunk
  uint32_t empty_chunk_count;
  uint32_t free_record;
  uint32_t record_high_water;
  uint64_t used_bytes;
  uint64_t unused[4];
};

static_assert(sizeof(Layout) == 120);
static_assert(offsetof(SegmentHeader, layout) == 16 && offsetof(SegmentHeader, node_id) == 136);
static_assert(offsetof(SegmentHeader, checksum) == 152 && offsetof(SegmentHeader, lock) == 192);
static_assert(offsetof(SegmentHeader, heap_backed) == 256 && sizeof(SegmentHeader) == kPage);
static_assert(sizeof(ObjectDetail) == 32 && sizeof(SpillFile) == 64 && sizeof(SpillState) == kPage && sizeof(CallSite) == 128);
static_assert(sizeof(ClientRecord) == 64 && offsetof(ClientRecord, worker_id) == 16);
static_assert(sizeof(WaiterBucket) == 64);
static_assert(sizeof(ObjectEntry) == 128 && offsetof(ObjectEntry, id) == 24 && offsetof(ObjectEntry, pins) == 64);
static_assert(sizeof(TableState) == 64 && sizeof(BlockRecord) == 64 && sizeof(BucketHead) == 8);
static_assert(sizeof(BinSet) == 8 + 44 * 4 + 44 * 64 && sizeof(AllocatorState) % 8 == 0);

// heap_bytes a multiple of kPage in [kMinHeapBytes, kMaxHeapBytes], table_capacity a power of two in its bounds: else all zero.
Layout compute_layout(uint64_t heap_bytes, uint32_t table_capacity);

// The table capacity for a heap: one entry for each page, within bounds.
uint32_t default_table_capacity(uint64_t heap_bytes);

uint64_t header_checksum(const SegmentHeader& header);

// The bytes of heap that an object of `size` takes: whole granules below a page, whole pages from there on, so that objects of
// a page or more never share a page with a neighbour that someone dirtied.
constexpr uint64_t block_bytes(uint64_t size) {
  if (size >= kPage) return (size + kPage - 1) & ~(kPage - 1);
  return size == 0 ? kGranule : (size + kGranule - 1) & ~(kGranule - 1);
}

}  // namespace eagleray
