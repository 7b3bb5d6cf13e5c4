// SPDX-License-Identifier: Apache-2.0
// A segment with several attached processes, of which each thread of a program is one; put back to where it began in no time.
#pragma once

#include <cstring>

#include "allocator.h"
#include "reaper.h"
#include "store.h"

namespace eagleray::model {

inline ObjectId id_of(uint64_t n) {
  ObjectId id{};
  for (int i = 0; i < 8; i++) id[12 + static_cast<size_t>(i)] = static_cast<uint8_t>(n >> (56 - 8 * i));
  return id;
}

class World {
 public:
  // Processes 0 to `processes` - 1 are the threads'; one more looks at the rest from outside. `spills`: objects may go to disk, which
  // is a directory beside the segment. What is written there is not put back: the segment says what of it counts.
  explicit World(int processes, bool spills = false) : spills_(spills) {
    std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    name += "/eagleray-model-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
    SegmentOptions options{64 * kPage, kMinTableCapacity, NodeId{1}};
    if (spills) options.spill_directory = root_ + "/disk";
    std::filesystem::create_directory(root_ + "/disk");
    for (int i = 0; i <= processes; i++) {
      set_pid(i == processes ? 999u : 1000u + static_cast<uint32_t>(i));
      const std::string path = root_ + "/store";
      Result<std::shared_ptr<Client>> client =
          i == 0 ? Client::create(path, options, false) : Client::attach(path);
      if (!client.ok()) std::abort();
      clients_.push_back(client.value());
      stores_.emplace_back(client.value());
    }
  }
  ~World() {
    // An execution that was cut short, because something was found, may have left it held.
    segment().header().lock.store(0);
    stores_.clear();
    clients_.clear();
    std::filesystem::remove_all(root_);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Store& store(int process) { return stores_[static_cast<size_t>(process)]; }
  Store& outside() { return stores_.back(); }
  Segment& segment() { return clients_[0]->segment(); }

  // The state to come back to.
  void remember() {
    for (const Range& range : mutable_parts()) {
      const auto* begin = static_cast<const std::byte*>(range.begin);
      saved_.push_back({const_cast<std::byte*>(begin), std::vector<std::byte>(begin, begin + range.bytes)});
    }
    rest_ = sum_of_rest();
  }
  void reset() {
    for (Saved& part : saved_) std::memcpy(part.at, part.bytes.data(), part.bytes.size());
    for (const std::shared_ptr<Client>& client : clients_) {
      for (uint32_t entry = 0; entry < kEntries; entry++) client->pins().count(entry) = {};
    }
    // The parts that are not put back do not change: now and then that is proved.
    if (++resets_ % 20'000 == 0 && sum_of_rest() != rest_) std::abort();
  }

  // The words by which the processes meet over the first few objects, where each process maps them.
  std::vector<Range> words() {
    std::vector<Range> ranges;
    for (const std::shared_ptr<Client>& client : clients_) {
      Segment& segment = client->segment();
      ranges.push_back({&segment.header().lock, 12});
      for (uint32_t i = 0; i < kEntries; i++) {
        ObjectEntry& entry = segment.entry(i);
        ranges.push_back({&entry.state, 8});
        ranges.push_back({&entry.next, 4});
        ranges.push_back({&entry.pins[0], 8});
      }
    }
    return ranges;
  }
  // The lock, and the words that tell of the rebuild.
  std::vector<Range> the_lock() {
    std::vector<Range> ranges;
    for (const std::shared_ptr<Client>& client : clients_) ranges.push_back({&client->segment().header().lock, 12});
    return ranges;
  }
  // The lock, and the states that decide what exists.
  std::vector<Range> lock_words() {
    std::vector<Range> ranges;
    for (const std::shared_ptr<Client>& client : clients_) {
      ranges.push_back({&client->segment().header().lock, 12});
      for (uint32_t i = 0; i < kEntries; i++) ranges.push_back({&client->segment().entry(i).state, 8});
    }
    return ranges;
  }
  void watch_bucket(std::vector<Range>& ranges, const ObjectId& id) {
    const uint32_t bucket = static_cast<uint32_t>(hash_object_id(id)) & (segment().layout().table_capacity - 1);
    for (const std::shared_ptr<Client>& client : clients_) ranges.push_back({&client->segment().bucket(bucket), 8});
  }

  // Where the objects lie, and the first and last words of the page that the first of them takes.
  void watch_places(std::vector<Range>& ranges) {
    for (const std::shared_ptr<Client>& client : clients_) {
      for (uint32_t i = 0; i < kEntries; i++) ranges.push_back({&client->segment().entry(i).offset, 8});
      ranges.push_back({client->segment().heap(), 8});
      ranges.push_back({client->segment().heap() + kPage - 8, 8});
    }
  }

  // What an outsider finds once all threads are at rest, with the dead reaped.
  std::string wrong() {
    if (!outside().reap_dead().ok()) return "the dead cannot be reaped";
    const Result<std::optional<std::string>> checked = outside().check();
    if (!checked.ok()) return checked.status().describe();
    if (checked.value().has_value()) return *checked.value();
    const StoreStats stats = outside().stats().value();
    if (stats.pins != 0) return "a pin is left";
    if (stats.deleting != 0) return "a deleted object is never freed";
    if (stats.creating != 0) return "an object is left half made";
    return "";
  }

 private:
  static constexpr uint32_t kEntries = 4;
  struct Saved {
    std::byte* at;
    std::vector<std::byte> bytes;
  };

  std::vector<Range> mutable_parts() {
    Segment& segment = this->segment();
    std::vector<Range> parts = {{&segment.header(), kPage}, {&segment.client(0), kPage}, {&segment.allocator(), sizeof(AllocatorState)},
                                {&segment.table(), kPage},  {&segment.bucket(0), kMinTableCapacity * sizeof(BucketHead)},
                                {&segment.entry(0), kPage}, {&segment.block(0), kPage}, {segment.heap(), 2 * kPage}};
    if (!spills_) return parts;
    parts.push_back({&segment.spill(), sizeof(SpillState) + 4 * sizeof(SpillFile)});
    parts.push_back({&segment.detail(0), kPage});
    return parts;
  }
  // Of everything before the channels that is not put back.
  uint64_t sum_of_rest() {
    const auto* bytes = segment().shared_base();
    uint64_t sum = 0;
    for (uint64_t at = 0; at < segment().layout().channels; at += 8) {
      const bool put_back = std::any_of(saved_.begin(), saved_.end(), [&](const Saved& part) {
        return bytes + at >= part.at && bytes + at < part.at + part.bytes.size();
      });
      uint64_t word = 0;
      std::memcpy(&word, bytes + at, 8);
      if (!put_back) sum = sum * 31 + word;
    }
    return sum;
  }

  const bool spills_;
  std::string root_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::vector<Store> stores_;
  std::vector<Saved> saved_;
  uint64_t rest_ = 0;
  uint64_t resets_ = 0;
};

// Expects that nothing goes wrong; in the tests of mutants (EAGLERAY_MUTANT is set), that something does.
inline void expect_sound(const Outcome& outcome, bool mutated = false) {
  std::printf("%llu executions of up to %llu steps%s%s\n", static_cast<unsigned long long>(outcome.executions),
              static_cast<unsigned long long>(outcome.longest), outcome.wrong.empty() ? "" : ": ", outcome.wrong.c_str());
  if (mutated || std::getenv("EAGLERAY_MUTANT") != nullptr) {
    EXPECT_NE(outcome.wrong, "") << "the mutation was not found";
  } else {
    EXPECT_EQ(outcome.wrong, "");
  }
}

}  // namespace eagleray::model
