// SPDX-License-Identifier: Apache-2.0
#include "object_table.h"

#include <algorithm>
#include <vector>

#include "fault_points.h"

namespace eagleray {
namespace {

// A look-up repeats as often before it takes the lock.
constexpr int kLookUpTries = 16;

uint32_t link_of(uint64_t head) { return static_cast<uint32_t>(head); }
uint64_t make_head(uint64_t version, uint32_t link) { return version << 32 | link; }

// The three words of an id in an entry, at offsets 24, 32 and 40.
struct IdWords {
  uint64_t first;
  uint64_t second;
  uint32_t third;
};

IdWords words_of(const ObjectId& id) {
  IdWords words;
  std::memcpy(&words.first, id.data(), 8);
  std::memcpy(&words.second, id.data() + 8, 8);
  std::memcpy(&words.third, id.data() + 16, 4);
  return words;
}

template <typename Word>
std::atomic_ref<Word> id_word(const ObjectEntry& entry, size_t at) {
  return std::atomic_ref<Word>(*reinterpret_cast<Word*>(const_cast<uint8_t*>(entry.id) + at));
}

void store_id(ObjectEntry& entry, const ObjectId& id) {
  const IdWords words = words_of(id);
  id_word<uint64_t>(entry, 0).store(words.first, std::memory_order_relaxed);
  id_word<uint64_t>(entry, 8).store(words.second, std::memory_order_relaxed);
  id_word<uint32_t>(entry, 16).store(words.third, std::memory_order_relaxed);
}

Status corrupt_table(const char* what) { return Status(Code::kStoreCorrupt, std::string("the object table is corrupt: ") + what); }

}  // namespace

ObjectId load_id(const ObjectEntry& entry) {
  const uint64_t first = id_word<uint64_t>(entry, 0).load(std::memory_order_relaxed);
  const uint64_t second = id_word<uint64_t>(entry, 8).load(std::memory_order_relaxed);
  const uint32_t third = id_word<uint32_t>(entry, 16).load(std::memory_order_relaxed);
  ObjectId id;
  std::memcpy(id.data(), &first, 8);
  std::memcpy(id.data() + 8, &second, 8);
  std::memcpy(id.data() + 16, &third, 4);
  return id;
}

bool has_id(const ObjectEntry& entry, const ObjectId& id) {
  const IdWords words = words_of(id);
  return id_word<uint64_t>(entry, 8).load(std::memory_order_relaxed) == words.second &&
         id_word<uint32_t>(entry, 16).load(std::memory_order_relaxed) == words.third &&
         id_word<uint64_t>(entry, 0).load(std::memory_order_relaxed) == words.first;
}

void ObjectTable::format() {
  state_ = TableState{};
  state_.free_head = kNone;
}

BucketHead& ObjectTable::bucket_of(const ObjectId& id) const {
  return segment_.bucket(static_cast<uint32_t>(hash_object_id(id)) & (segment_.layout().table_capacity - 1));
}

ObjectEntry* ObjectTable::at_link(uint32_t link) const { return segment_.entry_exists(link - 1) ? &segment_.entry(link - 1) : nullptr; }

FoundEntry ObjectTable::find_present(const ObjectId& id, bool* settled) const {
  const BucketHead& bucket = bucket_of(id);
  const std::atomic<uint32_t>& rebuild = segment_.header().rebuild;
  *settled = true;
  for (int tries = 0; tries < kLookUpTries; tries++) {
    const uint32_t rebuild_before = rebuild.load(std::memory_order_acquire);
    const uint64_t head = bucket.load(std::memory_order_acquire);
    uint32_t link = link_of(head);
    uint32_t steps = 0;
    while (link != 0 && steps++ < segment_.layout().table_capacity) {
      const ObjectEntry* entry = at_link(link);
      if (entry == nullptr) break;
      const uint64_t word = entry->state.load(std::memory_order_acquire);
      if (object_state::is_present(word) && has_id(*entry, id)) return {link - 1, word};
      if (object_state::state(word) == object_state::kEvicting && has_id(*entry, id)) break;  // for a moment: look again
      link = entry->next.load(std::memory_order_acquire);
      // Led into another chain, perhaps a long way: look up from time to time.
      if ((steps & 63) == 0 && bucket.load(std::memory_order_acquire) != head) break;
    }
    const bool quiet = rebuild_before % 2 == 0 && rebuild.load(std::memory_order_acquire) == rebuild_before;
    if (link == 0 && quiet && bucket.load(std::memory_order_acquire) == head) return {};
  }
  *settled = false;
  return {};
}

Result<FoundEntry> ObjectTable::find_current(const ObjectId& id) const {
  uint32_t link = link_of(bucket_of(id).load(std::memory_order_relaxed));
  for (uint32_t steps = 0; link != 0; steps++) {
    const ObjectEntry* entry = at_link(link);
    if (entry == nullptr || steps > segment_.layout().table_capacity) return corrupt_table("a chain leads nowhere");
    const uint64_t word = entry->state.load(std::memory_order_acquire);
    const bool is_current = object_state::is_present(word) || object_state::state(word) == object_state::kCreating;
    if (is_current && has_id(*entry, id)) return FoundEntry{link - 1, word};
    link = entry->next.load(std::memory_order_relaxed);
  }
  return FoundEntry{};
}

Result<uint32_t> ObjectTable::take() {
  const uint32_t head = state_.free_head;
  if (head != kNone) {
    if (!segment_.entry_exists(head)) return corrupt_table("the list of free entries");
    const ObjectEntry& entry = segment_.entry(head);
    if (object_state::state(entry.state.load(std::memory_order_relaxed)) != object_state::kFree) {
      return corrupt_table("an entry in use is in the list of free ones");
    }
    state_.free_head = entry.next.load(std::memory_order_relaxed);
    return head;
  }
  const uint32_t index = state_.high_water;
  if (index >= segment_.layout().table_capacity) {
    return Status(Code::kStoreFull, "the store has room for " + std::to_string(index) + " objects, and holds as many");
  }
  Status status = segment_.ensure_entry_backed(index);
  if (!status.ok()) return status;
  state_.high_water = index + 1;
  return index;
}

void ObjectTable::put_back(uint32_t index) {
  segment_.entry(index).next.store(state_.free_head, std::memory_order_release);
  state_.free_head = index;
}

void ObjectTable::publish(uint32_t index, const ObjectId& id) {
  ObjectEntry& entry = segment_.entry(index);
  store_id(entry, id);
  BucketHead& bucket = bucket_of(id);
  const uint64_t head = bucket.load(std::memory_order_relaxed);
  // After `next`, so that a reader who still follows an old chain through this entry finds the chain's version changed.
  entry.next.store(link_of(head), std::memory_order_release);
  const uint64_t generation = object_state::generation(entry.state.load(std::memory_order_relaxed));
  entry.state.store(object_state::make(object_state::kCreating, generation), std::memory_order_release);
  EAGLERAY_FAULT("create.filled");
  bucket.store(make_head(head >> 32, index + 1), std::memory_order_release);
  state_.used++;
}

Status ObjectTable::remove(uint32_t index) {
  ObjectEntry& entry = segment_.entry(index);
  BucketHead& bucket = bucket_of(load_id(entry));
  const uint64_t head = bucket.load(std::memory_order_relaxed);
  const uint32_t after = entry.next.load(std::memory_order_relaxed);
  if (link_of(head) == index + 1) {
    bucket.store(make_head((head >> 32) + 1, after), std::memory_order_release);
  } else {
    uint32_t link = link_of(head);
    ObjectEntry* before = nullptr;
    for (uint32_t steps = 0; link != index + 1; steps++) {
      before = link == 0 ? nullptr : at_link(link);
      if (before == nullptr || steps > segment_.layout().table_capacity) return corrupt_table("an entry is not in its chain");
      link = before->next.load(std::memory_order_relaxed);
    }
    before->next.store(after, std::memory_order_release);
    bucket.store(make_head((head >> 32) + 1, link_of(head)), std::memory_order_release);
  }
  EAGLERAY_FAULT("remove.unlinked");
  const uint64_t generation = object_state::generation(entry.state.load(std::memory_order_relaxed));
  entry.state.store(object_state::make(object_state::kFree, generation + 1), std::memory_order_release);
  EAGLERAY_FAULT("remove.freed_entry");
  put_back(index);
  state_.used--;
  return Status();
}

Status ObjectTable::rebuild() {
  const uint32_t capacity = segment_.layout().table_capacity;
  for (uint32_t i = 0; i < capacity; i++) {
    BucketHead& bucket = segment_.bucket(i);
    const uint64_t head = bucket.load(std::memory_order_relaxed);
    if (head != 0) bucket.store(make_head((head >> 32) + 1, 0), std::memory_order_release);
  }
  const uint32_t high_water = state_.high_water;
  EAGLERAY_FAULT("rebuild.emptied");
  if (high_water > capacity || (high_water > 0 && !segment_.entry_exists(high_water - 1))) return corrupt_table("its length");
  const uint32_t sites = state_.sites;
  state_ = TableState{};
  state_.free_head = kNone;
  state_.high_water = high_water;
  state_.sites = sites;
  // Downwards, so that the lowest free entries are taken first.
  for (uint32_t i = high_water; i-- > 0;) {
    ObjectEntry& entry = segment_.entry(i);
    const uint64_t state = object_state::state(entry.state.load(std::memory_order_acquire));
    if (state > object_state::kLast) return corrupt_table("an entry's state");
    if (state == object_state::kFree) {
      put_back(i);
      continue;
    }
    BucketHead& bucket = bucket_of(load_id(entry));
    const uint64_t head = bucket.load(std::memory_order_relaxed);
    entry.next.store(link_of(head), std::memory_order_release);
    bucket.store(make_head(head >> 32, i + 1), std::memory_order_release);
    state_.used++;
  }
  return Status();
}

std::optional<std::string> ObjectTable::check() const {
  const uint32_t capacity = segment_.layout().table_capacity;
  const uint32_t high_water = state_.high_water;
  if (high_water > capacity || (high_water > 0 && !segment_.entry_exists(high_water - 1))) return "table: its length is impossible";
  std::vector<uint8_t> seen(high_water, 0);
  uint32_t used = 0;
  const auto name = [](uint32_t index) { return "table: entry " + std::to_string(index); };
  for (uint32_t i = 0; i < capacity; i++) {
    std::vector<uint32_t> current;  // creating or sealed entries of this chain
    for (uint32_t link = link_of(segment_.bucket(i).load()); link != 0;) {
      const uint32_t index = link - 1;
      if (index >= high_water) return name(index) + " is in a chain and beyond the end";
      const ObjectEntry& entry = segment_.entry(index);
      const uint64_t state = object_state::state(entry.state.load());
      if (seen[index]++ != 0) return name(index) + " is in two places";
      if (state == object_state::kFree || state > object_state::kLast) return name(index) + " is in a chain and not in use";
      if (&bucket_of(load_id(entry)) != &segment_.bucket(i)) return name(index) + " is in the chain of another id";
      for (const uint32_t other : current) {
        if (state != object_state::kDeleting && has_id(segment_.entry(other), load_id(entry))) return name(index) + " has an id twice";
      }
      if (state != object_state::kDeleting) current.push_back(index);
      used++;
      link = entry.next.load();
    }
  }
  uint32_t free = 0;
  for (uint32_t index = state_.free_head; index != kNone; index = segment_.entry(index).next.load()) {
    if (index >= high_water) return name(index) + " is free and beyond the end";
    if (seen[index]++ != 0) return name(index) + " is free and somewhere else too";
    const uint64_t state = object_state::state(segment_.entry(index).state.load());
    if (state != object_state::kFree) return name(index) + " is in use and in the free list";
    free++;
  }
  if (used + free != high_water) return "table: " + std::to_string(high_water - used - free) + " entries are nowhere";
  if (used != state_.used) return "table: it counts " + std::to_string(state_.used) + " entries in use and has " + std::to_string(used);
  return std::nullopt;
}

}  // namespace eagleray
