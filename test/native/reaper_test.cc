// SPDX-License-Identifier: Apache-2.0
// Processes that end in every way, and what the others have to do about it.
#include "reaper.h"

#include <atomic>
#include <cstring>
#include <thread>

#include "hooks.h"
#include "process.h"
#include "segment_lock.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

std::atomic<int> rings[kMaxClients];
std::atomic<int> gone_calls{0};

class ReaperTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    StoreHooks hooks;
    hooks.ring = hooks.rouse = [](Client&, uint32_t slot) { rings[slot]++; };
    hooks.client_gone = [](Client&, uint32_t, bool) { gone_calls++; };
    set_store_hooks(hooks);
    for (std::atomic<int>& count : rings) count = 0;
    gone_calls = 0;
  }
  void TearDown() override {
    set_store_hooks({});
    StoreTest::TearDown();
  }

  // A child that runs `body` and then waits to be killed; returns when it has run.
  template <typename Body>
  pid_t child_that_stays(Body body) {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    const pid_t pid = in_child([&] {
      body();
      (void)!write(ends[1], "!", 1);
      while (true) pause();
      return 0;
    });
    close(ends[1]);
    char byte = 0;
    EXPECT_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    return pid;
  }

  static void kill_hard(pid_t pid) {
    kill(pid, SIGKILL);
    EXPECT_EQ(wait_for(pid), -SIGKILL);
  }
};

TEST_F(ReaperTest, PinsAndHalfMadeObjectsOfTheDeadAreGivenBack) {
  Store store = make();
  const std::vector<uint8_t> bytes = pattern(20'000, 1);
  ASSERT_TRUE(store.put(id_of(1), bytes.data(), bytes.size()).ok());
  ASSERT_TRUE(store.put(id_of(2), bytes.data(), bytes.size()).ok());
  const pid_t child = child_that_stays([this] {
    static Store theirs = attach();
    (void)theirs.view(id_of(1));
    (void)theirs.view(id_of(2));
    (void)theirs.create(id_of(3), 100'000);
    (void)theirs.put(id_of(4), "sealed", 6);
    theirs.expect(id_of(5));
  });
  ASSERT_TRUE(store.remove(id_of(1)).value());
  StoreStats stats = store.stats().value();
  EXPECT_EQ(stats.clients, 2u);
  EXPECT_EQ(stats.pins, 2u);
  EXPECT_EQ(stats.deleting, 1u);
  EXPECT_EQ(stats.creating, 1u);
  EXPECT_FALSE(store.reap(1).value());  // it lives
  EXPECT_TRUE(store.reap_dead().value().empty());
  kill_hard(child);
  EXPECT_EQ(store.reap_dead().value(), std::vector<uint32_t>{1});
  EXPECT_EQ(gone_calls, 1);
  EXPECT_FALSE(store.reap(1).value());
  stats = store.stats().value();
  EXPECT_EQ(stats.clients, 1u);
  EXPECT_EQ(stats.pins, 0u);
  EXPECT_EQ(stats.sealed, 2u);  // 2, and 4, which it had sealed
  EXPECT_EQ(stats.objects, 2u);
  char target[6];
  EXPECT_EQ(store.read(id_of(4), target, 6).value(), 6u);
  ASSERT_TRUE(store.remove(id_of(2)).value());
  ASSERT_TRUE(store.remove(id_of(4)).value());
  expect_empty(store);
}

TEST_F(ReaperTest, AReusedSlotIsAnotherClient) {
  Store store = make();
  WorkerId first{};
  for (int round = 0; round < 3; round++) {
    const pid_t child = child_that_stays([this] {
      static Store theirs = attach();
      (void)theirs.create(id_of(7), 64);
    });
    ClientInfo info;
    ASSERT_TRUE(client_info(store.client()->segment(), 1, &info));
    EXPECT_EQ(info.pid, static_cast<uint32_t>(child));
    EXPECT_TRUE(info.live);
    EXPECT_EQ(info.worker_id[4], 5);  // the node
    EXPECT_EQ(info.worker_id[6], 1);  // the slot
    EXPECT_NE(info.worker_id, first);
    first = info.worker_id;
    kill_hard(child);
    ASSERT_TRUE(client_info(store.client()->segment(), 1, &info));
    EXPECT_FALSE(info.live);
    EXPECT_TRUE(store.reap(1).value());
    EXPECT_FALSE(client_info(store.client()->segment(), 1, &info));
    expect_empty(store);
  }
}

TEST_F(ReaperTest, DetachingGivesBackEverythingAtOnce) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "x", 1).ok());
  const pid_t child = in_child([this] {
    Store theirs = attach();
    (void)theirs.create(id_of(2), 64);
    const View view = theirs.view(id_of(1)).value();
    theirs.release(view);
    return 0;
  });
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_EQ(store.stats().value().clients, 1u);
  EXPECT_EQ(store.stats().value().objects, 1u);
  expect_sound(store);
}

TEST_F(ReaperTest, AForkedChildDoesNotDetachItsParent) {
  Store store = make();
  const pid_t child = in_child([&store, this] {
    const uint32_t inherited = store.client()->slot();
    store = attach();  // drops the copy of the parent's
    return store.client()->slot() == inherited ? 1 : 0;
  });
  EXPECT_EQ(wait_for(child), 0);
  ClientInfo info;
  EXPECT_TRUE(client_info(store.client()->segment(), store.client()->slot(), &info) && info.live);
  expect_empty(store);
}

TEST_F(ReaperTest, APidThatBelongsToAnotherProcessNowIsDead) {
  Store store = make();
  const pid_t child = child_that_stays([this] {
    static Store theirs = attach();
    (void)theirs.create(id_of(1), 64);
  });
  EXPECT_FALSE(store.reap(1).value());
  // As if the process had ended and its pid been given to one that started later.
  store.client()->segment().client(1).start_time -= 1;
  EXPECT_TRUE(store.reap(1).value());
  expect_empty(store);
  kill_hard(child);
}

TEST_F(ReaperTest, AViewOutlivesTheDeletionByAnotherProcess) {
  Store store = make();
  const std::vector<uint8_t> bytes = pattern(50'000, 9);
  ASSERT_TRUE(store.put(id_of(1), bytes.data(), bytes.size()).ok());
  const View view = store.view(id_of(1)).value();
  const pid_t child = in_child([this] {
    Store theirs = attach();
    if (!theirs.remove(id_of(1)).value()) return 1;
    if (theirs.contains(id_of(1)) || theirs.view(id_of(1)).ok()) return 2;
    for (uint64_t n = 2; n < 300; n++) (void)theirs.put(id_of(n), pattern(50'000, n).data(), 50'000);
    return 0;
  });
  EXPECT_EQ(wait_for(child), 0);
  EXPECT_EQ(std::memcmp(view.data, bytes.data(), bytes.size()), 0);
  EXPECT_EQ(store.stats().value().deleting, 1u);
  store.release(view);
  EXPECT_EQ(store.stats().value().deleting, 0u);
  expect_sound(store);
}

TEST_F(ReaperTest, WhoeverWaitsIsRung) {
  Store store = make();
  store.expect(id_of(1));
  ASSERT_TRUE(store.put(id_of(1), "x", 1).ok());
  EXPECT_EQ(rings[0], 1);
  ASSERT_TRUE(store.put(id_of(2), "x", 1).ok());
  EXPECT_EQ(rings[0], 1);  // asked once, told once
  store.expect(id_of(3));
  ASSERT_TRUE(store.create(id_of(3), 10).ok());
  EXPECT_EQ(rings[0], 1);
  ASSERT_TRUE(store.seal(id_of(3)).ok());
  EXPECT_EQ(rings[0], 2);
  // A process that dies might have sealed and not rung: everyone who waits looks again.
  store.expect(id_of(4));
  kill_hard(child_that_stays([this] { static Store theirs = attach(); }));
  ASSERT_EQ(store.reap_dead().value().size(), 1u);
  EXPECT_EQ(rings[0], 3);
}

TEST_F(ReaperTest, WhoeverWaitsForAllIsRungOnceByASealOrADeletion) {
  Store store = make();
  store.expect_all();
  ASSERT_TRUE(store.put(id_of(1), "x", 1).ok());
  ASSERT_TRUE(store.put(id_of(1001), "x", 1).ok());
  EXPECT_EQ(rings[0], 2);  // each in its bucket
  ASSERT_TRUE(store.remove(id_of(1)).value());
  EXPECT_EQ(rings[0], 2);
  store.expect_all();
  ASSERT_TRUE(store.remove(id_of(1001)).value());
  EXPECT_EQ(rings[0], 3);
  EXPECT_FALSE(store.remove(id_of(7)).value());
  ASSERT_TRUE(store.create(id_of(8), 10).ok());
  ASSERT_TRUE(store.abort(id_of(8)).ok());
  EXPECT_EQ(rings[0], 3);  // what was never there goes without a word
}

TEST_F(ReaperTest, AFullStoreReapsTheDeadBeforeItGivesUp) {
  Store store = make(1 << 20);
  kill_hard(child_that_stays([this] {
    static Store theirs = attach();
    (void)theirs.create(id_of(1), 900'000);
  }));
  EXPECT_TRUE(store.put(id_of(2), pattern(500'000, 2).data(), 500'000).ok());
  expect_sound(store);
}

TEST_F(ReaperTest, ACrowdedSegmentMakesRoomForTheLiving) {
  Store store = make();
  Segment& segment = store.client()->segment();
  const pid_t child = fork();
  if (child == 0) _exit(0);
  wait_for(child);
  // Every slot but the last taken: first by the living, then by the dead.
  const auto fill = [&segment](uint32_t slot, uint32_t pid) {
    segment.client(slot).state = client_state::make(client_state::kLive, 1, pid);
  };
  for (uint32_t slot = 1; slot < kMaxClients; slot++) fill(slot, static_cast<uint32_t>(getpid()));
  const auto attach_code = [this] {
    return wait_for(in_child([this] { return static_cast<int>(Client::attach(path()).code()); }));
  };
  EXPECT_EQ(attach_code(), static_cast<int>(Code::kTooManyClients));
  for (uint32_t slot = 1; slot + 1 < kMaxClients; slot++) fill(slot, static_cast<uint32_t>(child));
  segment.client(kMaxClients - 1).state = 0;
  EXPECT_EQ(attach_code(), 0);
  EXPECT_EQ(store.stats().value().clients, 1u);
}

TEST_F(ReaperTest, ASlowHolderOfTheLockKeepsIt) {
  Store store = make();
  Segment& segment = store.client()->segment();
  std::atomic<uint64_t>& mark = *reinterpret_cast<std::atomic<uint64_t>*>(segment.header().reserved);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = in_child([&] {
    Store theirs = attach();
    SegmentLock lock(theirs.client()->segment(), theirs.client()->slot(), theirs.client()->generation());
    (void)!write(ends[1], "!", 1);
    raise(SIGSTOP);
    mark = 1;
    return 0;
  });
  char byte = 0;
  ASSERT_EQ(read(ends[0], &byte, 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status));
  uint64_t seen = 0;
  std::thread waiter([&] {
    SegmentLock lock(segment, store.client()->slot(), store.client()->generation());
    EXPECT_TRUE(lock.ok());
    seen = mark;
  });
  // Several times the span after which a waiter looks whether the holder is alive.
  while ((segment.header().lock.load() >> 31) == 0) std::this_thread::yield();
  for (int i = 0; i < 200; i++) EXPECT_TRUE(process_alive(static_cast<uint32_t>(child), 0));
  kill(child, SIGCONT);
  EXPECT_EQ(wait_for(child), 0);
  waiter.join();
  EXPECT_EQ(seen, 1u);
  EXPECT_EQ(segment.header().rebuild.load(), 0u);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(ReaperTest, GarbageInTheLockIsTakenOver) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "x", 1).ok());
  for (const uint32_t garbage : {0xffffffffu, 1000u, 0x7ff00200u, 2u}) {
    store.client()->segment().header().lock.store(garbage);
    EXPECT_TRUE(store.contains(id_of(1)));
    expect_sound(store);
  }
  EXPECT_EQ(store.client()->segment().header().rebuild.load(), 8u);
}

TEST_F(ReaperTest, ATableThatContradictsItselfMakesTheStoreUnusableAndSaysSo) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "x", 1).ok());
  ASSERT_TRUE(store.put(id_of(2), "x", 1).ok());
  Segment& segment = store.client()->segment();
  segment.entry(1).offset.store(segment.entry(0).offset.load());
  segment.header().lock.store(0xffffffff);
  EXPECT_EQ(store.put(id_of(3), "x", 1).code(), Code::kStoreCorrupt);
  EXPECT_EQ(store.put(id_of(4), "x", 1).code(), Code::kStoreCorrupt);
  EXPECT_EQ(store.check().code(), Code::kStoreCorrupt);
  const pid_t child = in_child([this] { return static_cast<int>(Client::attach(path()).code()); });
  EXPECT_EQ(wait_for(child), static_cast<int>(Code::kStoreCorrupt));
}

}  // namespace
}  // namespace eagleray
