// SPDX-License-Identifier: Apache-2.0
// Copies of what other nodes have: the first to go when room is needed, never on disk, and primaries once they are promoted.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "reaper.h"
#include "segment_lock.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

constexpr uint64_t kHeap = 4 << 20;
constexpr uint64_t kSize = 512 << 10;  // of which eight fill the heap
constexpr uint8_t kPrimary = 1, kSecondary = 2;

class SecondaryTest : public StoreTest {
 protected:
  std::string disk() const { return root_ + "/disk"; }

  Store make_spilling() {
    std::filesystem::create_directory(disk());
    SegmentOptions options;
    options.capacity_bytes = kHeap;
    options.table_capacity = 1024;
    options.spill_directory = disk();
    Result<std::shared_ptr<Client>> client = Client::create(path(), options, false);
    EXPECT_TRUE(client.ok()) << client.status().describe();
    return Store(client.value());
  }

  static Status put(Store& store, uint64_t n) { return store.put(id_of(n, kPrimary), pattern(kSize, n).data(), kSize); }

  static Status copy(Store& store, uint64_t n, uint64_t size = kSize) {
    const Result<std::byte*> bytes = store.create(id_of(n, kSecondary), size, true);
    if (!bytes.ok()) return bytes.status();
    std::memcpy(bytes.value(), pattern(size, n).data(), size);
    return store.seal(id_of(n, kSecondary));
  }

  // As if the hand had passed over them all: nothing was used lately.
  static void forget_use(Store& store) {
    Segment& segment = store.client()->segment();
    for (uint32_t i = 0; i < segment.entry_end(); i++) segment.detail(i).used.store(0);
  }

  static std::vector<uint64_t> copies(Store& store) {
    std::vector<uint64_t> numbers;
    for (uint64_t n = 0; n < 64; n++) {
      if (store.contains(id_of(n, kSecondary))) numbers.push_back(n);
    }
    return numbers;
  }

  bool is_disk_empty() const { return std::filesystem::is_empty(disk()); }
};

TEST_F(SecondaryTest, GoBeforeAnyPrimaryIsSpilled) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(put(store, n).ok());
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(copy(store, n).ok());
  EXPECT_EQ(store.stats().value().secondary, 4u);
  EXPECT_EQ(store.stats().value().secondary_bytes, 4 * kSize);
  for (uint64_t n = 4; n < 8; n++) ASSERT_TRUE(put(store, n).ok());
  EXPECT_EQ(store.stats().value().spilled_objects, 0u);
  EXPECT_EQ(store.stats().value().dropped_objects, 4u);
  EXPECT_EQ(copies(store).size(), 0u);
  EXPECT_TRUE(is_disk_empty());
  expect_sound(store);
  // From here on there are only primaries.
  ASSERT_TRUE(put(store, 8).ok());
  EXPECT_GT(store.stats().value().spilled_objects, 0u);
  expect_sound(store);
}

TEST_F(SecondaryTest, GoInAStoreThatDoesNotSpill) {
  Store store = make(kHeap, 1024);
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(copy(store, n).ok());
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(put(store, n).ok()) << n;
  EXPECT_EQ(put(store, 8).code(), Code::kStoreFull);
  EXPECT_EQ(copies(store).size(), 0u);
  expect_sound(store);
}

TEST_F(SecondaryTest, TheLeastRecentlyUsedGoesFirst) {
  Store store = make(kHeap, 1024);
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(copy(store, n).ok());
  forget_use(store);
  for (const uint64_t n : {0, 1, 2, 4, 5}) store.release(store.view(id_of(n, kSecondary)).value());
  std::vector<std::byte> target(kSize);
  ASSERT_TRUE(store.read(id_of(6, kSecondary), target.data(), target.size()).ok());
  // Room for 1 MiB at least is made at once.
  ASSERT_TRUE(put(store, 0).ok());
  EXPECT_EQ(copies(store), (std::vector<uint64_t>{0, 1, 2, 4, 5, 6}));
}

TEST_F(SecondaryTest, WhatIsViewedStays) {
  Store store = make(kHeap, 1024);
  Store other = attach();
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(copy(store, n).ok());
  const View mine = store.view(id_of(1, kSecondary)).value();
  const View theirs = other.view(id_of(6, kSecondary)).value();
  for (uint64_t n = 0; n < 6; n++) ASSERT_TRUE(put(store, n).ok()) << n;
  EXPECT_EQ(put(store, 6).code(), Code::kStoreFull);
  EXPECT_EQ(copies(store), (std::vector<uint64_t>{1, 6}));
  EXPECT_EQ(std::memcmp(mine.data, pattern(kSize, 1).data(), kSize), 0);
  EXPECT_EQ(std::memcmp(theirs.data, pattern(kSize, 6).data(), kSize), 0);
  store.release(mine);
  other.release(theirs);
  ASSERT_TRUE(put(store, 6).ok());
  ASSERT_TRUE(put(store, 7).ok());
  expect_sound(store);
}

// Half made, they are somebody's who is at work on them.
TEST_F(SecondaryTest, WhatIsBeingMadeStays) {
  Store store = make(kHeap, 1024);
  ASSERT_TRUE(store.create(id_of(1, kSecondary), kHeap / 2, true).ok());
  EXPECT_EQ(store.put(id_of(1), pattern(kHeap, 1).data(), kHeap).code(), Code::kStoreFull);
  ASSERT_TRUE(store.abort(id_of(1, kSecondary)).ok());
  EXPECT_EQ(store.stats().value().secondary, 0u);
  expect_empty(store);
}

TEST_F(SecondaryTest, MakeRoomForEachOtherAndPushPrimariesToDisk) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(put(store, n).ok());
  for (uint64_t n = 0; n < 20; n++) ASSERT_TRUE(copy(store, n).ok()) << n;
  const StoreStats stats = store.stats().value();
  EXPECT_GT(stats.dropped_objects, 0u);
  EXPECT_EQ(stats.sealed, 8u + copies(store).size());
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(store.contains(id_of(n, kPrimary)));
  expect_sound(store);
}

TEST_F(SecondaryTest, AreNeverOnDisk) {
  Store store = make_spilling();
  EXPECT_EQ(copy(store, 1, kHeap + 1).code(), Code::kStoreFull);
  std::vector<View> views;
  for (uint64_t n = 0; n < 8; n++) {
    ASSERT_TRUE(put(store, n).ok());
    views.push_back(store.view(id_of(n, kPrimary)).value());
  }
  const uint64_t starved = store.starved();
  EXPECT_EQ(copy(store, 1).code(), Code::kStoreFull);
  EXPECT_GT(store.starved(), starved);  // whose views are garbage is asked to look
  EXPECT_TRUE(is_disk_empty());
  for (const View& view : views) store.release(view);
  ASSERT_TRUE(copy(store, 1).ok());
  ASSERT_TRUE(spill_objects(store, kHeap).ok());
  EXPECT_EQ(copies(store).size(), 0u);
  for (const ObjectInfo& object : store.list().value()) EXPECT_FALSE(object.secondary);
  expect_sound(store);
}

TEST_F(SecondaryTest, APromotedOneIsSpilledAndKept) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(copy(store, n).ok());
  EXPECT_TRUE(store.promote(id_of(2, kSecondary)).value());
  EXPECT_TRUE(store.promote(id_of(2, kSecondary)).value());
  EXPECT_FALSE(store.promote(id_of(60, kSecondary)).value());
  for (const ObjectInfo& object : store.list().value()) EXPECT_EQ(object.secondary, object.id != id_of(2, kSecondary));
  ASSERT_TRUE(spill_objects(store, kHeap).ok());
  EXPECT_EQ(copies(store), (std::vector<uint64_t>{2}));
  EXPECT_EQ(store.stats().value().spilled, 1u);
  const View view = store.view(id_of(2, kSecondary)).value();
  EXPECT_EQ(std::memcmp(view.data, pattern(kSize, 2).data(), kSize), 0);
  store.release(view);
  expect_sound(store);
}

TEST_F(SecondaryTest, OneThatIsBeingMadeCanBePromoted) {
  Store store = make(kHeap, 1024);
  ASSERT_TRUE(store.create(id_of(1, kSecondary), kSize, true).ok());
  EXPECT_TRUE(store.promote(id_of(1, kSecondary)).value());
  ASSERT_TRUE(store.seal(id_of(1, kSecondary)).ok());
  EXPECT_EQ(store.put(id_of(1), pattern(kHeap, 1).data(), kHeap).code(), Code::kStoreFull);
  EXPECT_EQ(copies(store), (std::vector<uint64_t>{1}));
  expect_sound(store);
}

// Entries are used again: what was a copy must not make the next object one.
TEST_F(SecondaryTest, AnEntryThatWasOneIsAPrimaryAgain) {
  Store store = make(kHeap, 1024);
  ASSERT_TRUE(copy(store, 1).ok());
  ASSERT_TRUE(store.remove(id_of(1, kSecondary)).value());
  ASSERT_TRUE(put(store, 1).ok());
  EXPECT_EQ(store.stats().value().secondary, 0u);
  EXPECT_EQ(store.put(id_of(2), pattern(kHeap, 1).data(), kHeap).code(), Code::kStoreFull);
  EXPECT_TRUE(store.contains(id_of(1, kPrimary)));
}

TEST_F(SecondaryTest, AFullTableDropsThemToo) {
  Store store = make(kHeap, 1024);
  for (uint64_t n = 0; n < 1024; n++) ASSERT_TRUE(copy(store, n, 64).ok()) << n;
  ASSERT_TRUE(put(store, 1).ok());
  EXPECT_EQ(store.stats().value().dropped_objects, 1u);
  expect_sound(store);
}

TEST_F(SecondaryTest, WhoWatchesHearsOfTheirGoing) {
  Store store = make(kHeap, 1024);
  Store other = attach();
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(copy(store, n).ok());
  other.expect_all();
  // Whether `other` is still to be told of that object.
  const auto asks_for = [&](uint64_t n) {
    const auto bucket = static_cast<uint32_t>(hash_object_id(id_of(n, kSecondary))) & (kWaiterBuckets - 1);
    return (store.client()->segment().waiters(bucket).clients[0].load() >> other.client()->slot() & 1) != 0;
  };
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(asks_for(n));
  ASSERT_TRUE(put(store, 1).ok());
  const std::vector<uint64_t> left = copies(store);
  ASSERT_EQ(left.size(), 6u);
  for (uint64_t n = 0; n < 8; n++) EXPECT_EQ(asks_for(n), std::find(left.begin(), left.end(), n) != left.end()) << n;
}

// The count is made anew from the entries after a death.
TEST_F(SecondaryTest, AreCountedAnewAfterADeath) {
  Store store = make(kHeap, 1024);
  for (uint64_t n = 0; n < 3; n++) ASSERT_TRUE(copy(store, n).ok());
  const pid_t child = in_child([this] {
    Store mine = attach();
    SegmentLock lock(mine.client()->segment(), mine.client()->slot(), mine.client()->generation());
    mine.client()->segment().spill().secondaries = 77;
    kill(getpid(), SIGKILL);
    return 0;
  });
  ASSERT_EQ(wait_for(child), -SIGKILL);
  EXPECT_EQ(store.stats().value().secondary, 3u);
  ASSERT_TRUE(store.reap_dead().ok());
  EXPECT_EQ(store.client()->segment().spill().secondaries, 3u);
  expect_sound(store);
}

}  // namespace
}  // namespace eagleray
