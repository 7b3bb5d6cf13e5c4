// SPDX-License-Identifier: Apache-2.0
// The objects of a segment: what a process does with them. Start reading here.
//
//   put = create + copy + seal. An object is visible once sealed, and its bytes never change again.
//   view pins it: its memory stays until the last pin of the last process goes, also when it is deleted meanwhile.
//
// A Store is a handle on the process's Client and may be copied; it holds no state but where its objects are made. Threads: all methods may be called
// from any thread, except that one object's create, seal and abort belong to one thread at a time.
// Every operation may end in kStoreCorrupt when the segment was damaged; only other outcomes are named below.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client.h"
#include "object_id.h"
#include "object_table.h"
#include "spill.h"
#include "spill_files.h"
#include "status.h"

namespace eagleray {

// A pinned sealed object. `data` lies in the copy-on-write mapping; or in one of a file of spilled objects, where the heap has no room
// for it; or is a copy of its own when the object is smaller than a page (small objects share pages, and a stray write must not reach
// a neighbour's view). Give it to release() exactly once.
struct View {
  const std::byte* data = nullptr;  // never null, also for an empty object; 64-byte aligned
  uint64_t size = 0;
  uint32_t entry = kNone;
  uint64_t generation = 0;
  bool is_copy = false;
  std::shared_ptr<DiskMapping> mapping;
};

struct ObjectInfo {
  ObjectId id;
  uint64_t size;
  uint64_t state;  // object_state, never kFree
  uint32_t creator;
  uint64_t created_at_ms;
  std::vector<uint32_t> pinned_by;
  uint64_t pinned_at_ms;  // when it last came to be viewed; 0 when nobody views it
  bool on_disk;           // spilled: not in memory
  bool secondary;         // a copy of what another node has
  std::string site;       // where it was made; empty when not known
};

struct StoreStats {
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;  // whole blocks
  uint64_t largest_free_bytes = 0;
  uint64_t reserved_bytes = 0;  // of the heap, in the file system, so far
  uint32_t objects = 0;
  uint32_t creating = 0;
  uint32_t sealed = 0;
  uint32_t deleting = 0;
  uint64_t pins = 0;  // pairs of object and process
  uint32_t clients = 0;
  uint32_t channels = 0;
  uint32_t table_capacity = 0;
  uint32_t spilled = 0;            // of the sealed ones, on disk alone
  uint64_t disk_bytes = 0;         // that the files of spilled objects take
  uint64_t spilled_objects = 0;    // written to disk, ever; and so on
  uint64_t spilled_bytes = 0;
  uint64_t restored_objects = 0;
  uint64_t restored_bytes = 0;
  uint64_t evicted_objects = 0;  // taken out of the heap, ever, written or not
  uint32_t secondary = 0;        // of all, copies of what other nodes have
  uint64_t secondary_bytes = 0;  // whole blocks
  uint64_t dropped_objects = 0;  // secondary copies dropped to make room, ever
};

// A pinned sealed object as it lies: `view.size` bytes from `offset` on of the file at `path`, which is the segment's for what is in
// memory; then the view has no data. What is smaller than a page is a view, and `path` is empty. Give the view to release() exactly once.
struct Source {
  View view;
  std::string path;
  uint64_t offset = 0;
  bool on_disk = false;
};

// An object that is being made.
struct Reserved {
  uint32_t index;
  std::byte* data;  // null: on disk
  DiskPlace place;  // then where
};

struct PutPart {
  const void* data;
  uint64_t length;
  uint64_t offset;  // in the object
};

class Store {
 public:
  explicit Store(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  const std::shared_ptr<Client>& client() const { return client_; }

  // kObjectExists; kStoreFull (the message has the numbers); kStoreSpace when the file system is full. Where the store spills, it
  // makes room, which takes as long as the disk does, and makes the object on disk when there is none; then kDiskFull, or kSystem
  // when the disk fails.
  Status put(const ObjectId& id, const void* bytes, uint64_t size);
  // Parts in ascending order without overlap, within the size, else kInvalidArgument; the gaps become zeros.
  Status put_parts(const ObjectId& id, uint64_t size, std::span<const PutPart> parts);
  // Reserves memory for an object and gives it; its bytes are undefined. 64-byte aligned, page-aligned from kPage on. Errors as put.
  // `secondary`: a copy of what another node has (secondaries.h): kStoreFull where memory has no room for it, for it is never on disk.
  Result<std::byte*> create(const ObjectId& id, uint64_t size, bool secondary = false);
  // As create, of an object that no mapping of this process shows: write() gives it its bytes, and what was written so far can be read
  // back. For who uses most memory once, where the first touch of a page costs more than the copy (warm_pages.h).
  Result<Reserved> reserve(const ObjectId& id, uint64_t size, bool secondary = false);
  // REQUIRES of both: within the object, which this process is making. kSystem when the file cannot be written or read.
  Status write(const Reserved& reserved, uint64_t offset, std::span<const std::byte> bytes);
  Status read_back(const Reserved& reserved, uint64_t offset, std::span<std::byte> target);
  // kObjectNotFound unless this process is creating it.
  Status seal(const ObjectId& id);
  Status abort(const ObjectId& id);
  // A secondary copy becomes the primary one, which only a deletion removes. True for what is a primary copy already; false when there
  // is no object of that id, being made or sealed.
  Result<bool> promote(const ObjectId& id);

  // Objects that this handle makes from now on were made there: a number of intern_site(), 0 for nowhere in particular.
  void set_site(uint32_t site) { site_ = site; }
  // The number of a place in a program; 0 when the store knows as many as it can.
  uint32_t intern_site(const std::string& text);

  // Copies a sealed object to `target` if it is no longer than `capacity`; gives its length either way. kObjectNotFound; kSpilled when
  // it is on disk, whatever its length: view() it.
  Result<uint64_t> read(const ObjectId& id, void* target, uint64_t capacity);
  // Pins a sealed object, and reads it from disk when it is there. kObjectNotFound; kSystem when the disk fails.
  Result<View> view(const ObjectId& id);
  // Pins a sealed object where it is: what is on disk is not read, and stays in its file until the release. kObjectNotFound.
  Result<Source> source(const ObjectId& id);
  // A part of a view that is not released yet, as a view with a pin of its own: each may be released before the other. The same
  // memory, or a copy of its own where the view is one. REQUIRES: within the view.
  Result<View> part(const View& view, uint64_t offset, uint64_t length);
  // Undoes what this process wrote into the view, and ends the pin. The data must not be touched afterwards.
  void release(const View& view);
  bool contains(const ObjectId& id);
  // Gone for new readers at once, freed with the last pin. False when there is no sealed object of that id.
  Result<bool> remove(const ObjectId& id);
  // Asks that the store's `ring` hook be called for this client after an object of that id is sealed, once; spurious calls happen.
  // The caller looks for the object again after this returns.
  void expect(const ObjectId& id);
  // As `expect`, of every id and of deletions too.
  void expect_all();

  // Sum of the sizes of the objects that this process views.
  uint64_t viewed_bytes() const { return client_->pins().bytes(); }
  // How often somebody needed room and all that was in the heap was viewed. When it has grown since the last look (the `rouse` hook is
  // called when it does), views that are garbage should be given back.
  uint64_t starved() const { return client_->segment().spill().starved.load(std::memory_order_seq_cst); }

  Result<std::vector<ObjectInfo>> list();
  Result<StoreStats> stats();
  std::vector<ClientInfo> clients();
  // What is wrong with table, allocator, pins and channels, seen from outside; nothing when every invariant holds. Takes the lock
  // throughout.
  Result<std::optional<std::string>> check();

  // See reaper.h.
  Result<bool> reap(uint32_t slot);
  Result<std::vector<uint32_t>> reap_dead();

 private:
  friend class Spiller;
  struct Pin {
    uint32_t index;
    uint64_t word;  // the state it was made in
  };

  Segment& segment() const { return client_->segment(); }

  // Making: store_write.cc
  Result<uint64_t> make_room(uint64_t size);
  Result<Reserved> reserve_on_disk(const ObjectId& id, uint64_t size);
  Status drop_on_disk(uint32_t index);
  enum class Kind { kInHeap, kOnDisk, kSecondary };
  Result<uint32_t> insert(const ObjectId& id, uint64_t size, Kind kind);
  Status place_in_heap(uint32_t index, uint64_t size);
  Status place_on_disk(uint32_t index, uint64_t size);
  Status no_room(uint64_t size, const Status& why);
  void wake_spiller();
  void ask_to_collect();
  Status fill(const Reserved& reserved, uint64_t size, std::span<const PutPart> parts);
  Result<uint32_t> find_mine(const ObjectId& id);
  void publish_seal(uint32_t index, const ObjectId& id);
  Status drop_reserved(uint32_t index);

  // Reading: store_read.cc
  FoundEntry find(const ObjectId& id);
  Result<Pin> pin(const ObjectId& id);
  void mark_used(uint32_t index);
  Result<View> heap_view(const Pin& pin);
  View unplaced_view(const Pin& pin);
  Result<View> copied_view(View view, const std::byte* bytes);
  std::byte* memory_for_copy(const View& view);
  Result<bool> mark_deleted(const ObjectId& id);
  void unpin(uint32_t index, uint64_t generation);
  void discard_written(uint32_t index);
  void free_if_last(uint32_t index, uint64_t generation);
  void wake_unlinker();

  // Reading from disk: store_restore.cc
  Result<DiskPlace> disk_place(uint32_t index);
  Result<View> disk_view(const Pin& pin);
  Result<std::byte*> begin_restore(const Pin& pin);
  Status read_into_heap(const DiskPlace& place, std::byte* target, uint64_t size);
  void finish_restore(const Pin& pin);
  void cancel_restore(const Pin& pin);
  Status undo_restore_of(const Pin& pin);
  Result<View> mapped_view(const Pin& pin, const DiskPlace& place);

  std::shared_ptr<Client> client_;
  uint32_t site_ = 0;
};

}  // namespace eagleray
