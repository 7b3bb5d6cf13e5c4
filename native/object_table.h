// SPDX-License-Identifier: Apache-2.0
// The table of objects: finds an entry by id, makes and frees entries. Knows nothing of memory, clients or waiting.
//
// Entries lie in an array; the ones in use hang in chains, by the hash of their id. A chain's head carries a version, so look-ups
// take no lock: one that misses while its chain lost an entry is repeated. (Open addressing was not taken: entries hold pins that
// other processes are setting, so they cannot move, and tombstones would cost every look-up. Freed entries are used again last
// in, first out, so a loop of puts and deletes stays on a few cache lines.)
//
// Invariants (check() proves them):
//  (1) An entry is in the chain of its id's bucket exactly when its state is not free; all others below high_water are in the
//      list of free entries.
//  (2) Of the entries with one id at most one is creating or present; any number may be deleting, held by their last readers.
//  (3) A free entry's generation is larger than any it had in use.
#pragma once

#include <optional>
#include <string>

#include "segment.h"
#include "status.h"

namespace eagleray {

struct FoundEntry {
  uint32_t index = kNone;
  uint64_t word = 0;  // the state word it was found with
};

class ObjectTable {
 public:
  explicit ObjectTable(Segment& segment) : segment_(segment), state_(segment.table()) {}

  void format();

  // Without the lock: the entry of that id that readers may have, sealed in memory or on disk. `settled` is false when other processes changed the chain throughout, or the
  // table is being rebuilt: then a miss means nothing and the caller looks under the lock.
  FoundEntry find_present(const ObjectId& id, bool* settled) const;

  // All below: the caller holds the segment lock.

  // The creating or present entry of that id; kNone as a value when there is none.
  Result<FoundEntry> find_current(const ObjectId& id) const;
  // An entry for use, state still free; kStoreFull when all are in use. Give it to publish() or put_back().
  Result<uint32_t> take();
  void put_back(uint32_t index);
  // Makes the entry creating and visible. REQUIRES: every other field is set.
  void publish(uint32_t index, const ObjectId& id);
  // Takes the entry out of its chain and frees it. kStoreCorrupt when it is not in it.
  Status remove(uint32_t index);

  // Chains, free list and counts from the entries' states alone.
  Status rebuild();

  uint32_t used() const { return state_.used; }
  uint32_t high_water() const { return state_.high_water; }
  std::optional<std::string> check() const;

 private:
  BucketHead& bucket_of(const ObjectId& id) const;
  // The entry at a chain's link (index + 1), or null when the link is impossible.
  ObjectEntry* at_link(uint32_t link) const;

  Segment& segment_;
  TableState& state_;
};

// The id of an entry. Readers without the lock call it while another process may be writing a new one: word-wise atomic.
ObjectId load_id(const ObjectEntry& entry);
bool has_id(const ObjectEntry& entry, const ObjectId& id);

}  // namespace eagleray
