// SPDX-License-Identifier: Apache-2.0
// A process killed at each step on the way to disk and back.
#include <filesystem>

#include "fault_fixture.h"
#include "segment_lock.h"
#include "spill_files.h"

namespace eagleray {
namespace {

constexpr uint64_t kLasting = 12;
constexpr uint64_t kLastingBytes = 150'000;

class FaultSpillTest : public FaultTest {
 protected:
  Store make_spilling() {
    std::filesystem::remove_all(root_ + "/disk");
    std::filesystem::create_directory(root_ + "/disk");
    SegmentOptions options;
    options.capacity_bytes = 1 << 20;
    options.table_capacity = 1024;
    options.spill_directory = root_ + "/disk";
    Result<std::shared_ptr<Client>> client = Client::create(path(), options, false);
    EXPECT_TRUE(client.ok()) << client.status().describe();
    return Store(client.value());
  }

  // Puts, reads and removes twice what the store holds, and what it can never hold.
  static void spill_and_restore(Store& store) {
    for (uint64_t round = 0; round < 3; round++) {
      for (uint64_t n = 0; n < 8; n++) (void)put(store, id_of(n, 2), kLastingBytes);
      for (uint64_t n = 0; n < kLasting; n++) {
        const Result<View> view = store.view(id_of(n, 1));
        if (view.ok()) store.release(view.value());
      }
      for (uint64_t n = 30; n < 33; n++) {
        const Result<std::byte*> bytes = store.create(id_of(n, 2), kLastingBytes, true);
        if (bytes.ok()) std::memcpy(bytes.value(), content(id_of(n, 2), kLastingBytes).data(), kLastingBytes);
        (void)store.seal(id_of(n, 2));
      }
      (void)store.promote(id_of(32, 2));
      (void)put(store, id_of(20, 2), 2 << 20);
      (void)put(store, id_of(19, 2), kLastingBytes);
      (void)spill_objects(store, 2 * kLastingBytes);
      for (uint64_t n = 0; n < 33; n++) (void)store.remove(id_of(n, 2));
      close_files(store);
    }
  }

  // As if this process's file were full, so that files die.
  static void close_files(Store& store) {
    Client& client = *store.client();
    reclaim_disk(client.segment(), client.slot(), client.generation(), true);
    {
      SegmentLock lock(client.segment(), client.slot(), client.generation());
      if (lock.ok()) SpillFiles(client.segment()).close_of(client.slot(), client.generation());
    }
    reclaim_disk(client.segment(), client.slot(), client.generation(), false);
  }

  static void expect_lasting(Store& store) {
    (void)store.reap_dead();
    expect_sound(store);
    EXPECT_EQ(store.stats().value().pins, 0u);
    for (uint64_t n = 0; n < kLasting; n++) {
      const Result<View> view = store.view(id_of(n, 1));
      ASSERT_TRUE(view.ok()) << n << " " << view.status().describe();
      EXPECT_EQ(std::memcmp(view.value().data, content(id_of(n, 1), kLastingBytes).data(), kLastingBytes), 0) << n;
      store.release(view.value());
    }
    for (const ObjectInfo& object : store.list().value()) {
      if (object.id[0] != 2) continue;
      ASSERT_TRUE(store.remove(object.id).value()) << object.state;
    }
    expect_sound(store);
  }
};

TEST_F(FaultSpillTest, KilledAtEachStep) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < kLasting; n++) ASSERT_TRUE(put(store, id_of(n, 1), kLastingBytes).ok());
  for (const std::string_view place : kFaultPoints) {
    const std::string_view operation = place.substr(0, place.find('.'));
    if (operation != "spill" && operation != "evict" && operation != "restore" && operation != "disk" && operation != "secondary") continue;
    if (place == "restore.undone") continue;
    for (const int nth : {1, 2, 5}) {
      const int ended = wait_for(killed_child(place.data(), nth, spill_and_restore));
      if (nth <= 2) {
        ASSERT_EQ(ended, -SIGKILL) << place << " is not reached, passage " << nth;
      }
      expect_lasting(store);
      if (HasFatalFailure()) FAIL() << "killed at passage " << nth << " of " << place;
    }
  }
  for (uint64_t n = 0; n < kLasting; n++) ASSERT_TRUE(store.remove(id_of(n, 1)).value());
  close_files(store);
  expect_empty(store);
  EXPECT_EQ(store.stats().value().disk_bytes, 0u);
}

// The first dies while it reads an object back, the second while it undoes that.
TEST_F(FaultSpillTest, KilledWhileItUndoesWhatTheDeadWereReading) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < kLasting; n++) ASSERT_TRUE(put(store, id_of(n, 1), kLastingBytes).ok());
  ASSERT_EQ(wait_for(killed_child("restore.read", 1, spill_and_restore)), -SIGKILL);
  ASSERT_EQ(wait_for(killed_child("restore.undone", 1, [](Store& theirs) { (void)theirs.reap_dead(); })), -SIGKILL);
  expect_lasting(store);
}

// Its own pin must not keep an object that somebody deletes while it is read back.
TEST_F(FaultSpillTest, DeletedWhileTheDeadWereReading) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < kLasting; n++) ASSERT_TRUE(put(store, id_of(n, 1), kLastingBytes).ok());
  ASSERT_EQ(wait_for(killed_child("restore.read", 1, spill_and_restore)), -SIGKILL);
  for (const ObjectInfo& object : store.list().value()) (void)store.remove(object.id);
  (void)store.reap_dead();
  expect_empty(store);
}

}  // namespace
}  // namespace eagleray
