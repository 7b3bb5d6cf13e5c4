// SPDX-License-Identifier: Apache-2.0
// Processes killed at every marked instruction, and at random ones, while they use the store: nothing sealed is lost, nothing leaks,
// every invariant holds once they are reaped.
#include <map>
#include <random>

#include "fault_fixture.h"
#include "hooks.h"

namespace eagleray {
namespace {

TEST_F(FaultTest, KilledWhileTheyReap) {
  Store store = make(kHeap, 1024);
  for (const char* place : {"reap.marked", "reap.scanned", "remove.unlinked", "free.before", "lock.before_release"}) {
    put_lasting(store);
    // The first dies with an object half made and pins; the second dies while it reaps the first.
    ASSERT_EQ(wait_for(killed_child("put.copied", 2, use)), -SIGKILL);
    const int ended = wait_for(killed_child(place, 1, [](Store& theirs) { (void)theirs.reap_dead(); }));
    ASSERT_EQ(ended, -SIGKILL) << place;
    EXPECT_EQ(store.reap_dead().value(), (std::vector<uint32_t>{1, 2})) << place;
    expect_whole(store);
    if (HasFatalFailure()) FAIL() << place;
  }
}

TEST_F(FaultTest, KilledWhileTheyRebuild) {
  Store store = make(kHeap, 1024);
  for (const char* place : {"rebuild.started", "rebuild.table", "rebuild.blocks"}) {
    put_lasting(store);
    // The first dies holding the lock, the second while it repairs what the first left, which leaves it to the third.
    ASSERT_EQ(wait_for(killed_child("allocate.split", 2, use)), -SIGKILL);
    const int ended = wait_for(killed_child(place, 1, use));
    ASSERT_EQ(ended, -SIGKILL) << place;
    EXPECT_EQ(store.reap_dead().value(), (std::vector<uint32_t>{1, 2})) << place;
    expect_whole(store);
    if (HasFatalFailure()) FAIL() << place;
  }
}

TEST_F(FaultTest, ASealWhoseMakerDiedBeforeTheBellIsHeardOf) {
  static std::atomic<int> heard{0};
  StoreHooks hooks;
  hooks.ring = hooks.rouse = [](Client&, uint32_t slot) { heard += slot == 0; };
  set_store_hooks(hooks);
  Store store = make(kHeap, 1024);
  const ObjectId awaited = id_of(0, 2);
  store.expect(awaited);
  ASSERT_EQ(wait_for(killed_child("seal.sealed", 1, use)), -SIGKILL);
  EXPECT_EQ(heard, 0);
  EXPECT_TRUE(store.contains(awaited));
  ASSERT_EQ(store.reap_dead().value().size(), 1u);
  EXPECT_EQ(heard, 1);
  set_store_hooks({});
}

// One of a crowd that uses the same few ids until it is killed. Writes a byte now and then: how far it has come.
int trouble(Store store, uint64_t seed, int progress) {
  std::mt19937_64 random(seed);
  std::vector<View> views;
  for (uint64_t step = 0;; step++) {
    const ObjectId id = id_of(random() % 60, 3);
    switch (random() % 6) {
      case 0: case 1: {
        const uint64_t sizes[] = {8, 300, 3000, 5000, 70'000, 400'000};
        (void)put(store, id, sizes[random() % 6]);
        break;
      }
      case 2: {
        const Result<View> view = store.view(id);
        if (!view.ok()) break;
        if (std::memcmp(view.value().data, content(id, view.value().size).data(), view.value().size) != 0) return 1;
        views.push_back(view.value());
        break;
      }
      case 3:
        if (views.empty()) break;
        store.release(views.back());
        views.pop_back();
        break;
      case 4: (void)store.remove(id); break;
      default:
        if (store.create(id, 2000).ok()) (void)store.abort(id);
        break;
    }
    if (step % 16 == 0 && write(progress, "!", 1) != 1) return 2;
  }
}

TEST_F(FaultTest, KilledAnywhereAtRandom) {
  constexpr int kCrowd = 3;
  constexpr int kKills = 50;
  Store store = make(kHeap, 1024);
  put_lasting(store);
  std::mt19937_64 random(2026);
  struct Member {
    pid_t pid;
    int progress;
  };
  std::vector<Member> crowd;
  uint64_t born = 0;
  const auto join = [&] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const uint64_t seed = ++born;
    const pid_t pid = in_child([&, this] { return trouble(attach(), seed, ends[1]); });
    close(ends[1]);
    crowd.push_back({pid, ends[0]});
  };
  const auto end = [&](const Member& member) {
    kill(member.pid, SIGKILL);
    ASSERT_EQ(wait_for(member.pid), -SIGKILL);  // anything else: it found an error first
    close(member.progress);
  };
  for (int killed = 0; killed < kKills; killed++) {
    while (crowd.size() < kCrowd) join();
    const size_t victim = random() % kCrowd;
    // It lives until it has shown some progress; where it is when the signal meets it is chance.
    char bytes[16];
    for (uint64_t wait = 1 + random() % 8; wait > 0; wait--) ASSERT_GT(::read(crowd[victim].progress, bytes, sizeof bytes), 0);
    end(crowd[victim]);
    crowd.erase(crowd.begin() + static_cast<long>(victim));
    ASSERT_EQ(store.reap_dead().value().size(), 1u);
    if (killed % 10 == 9) expect_sound(store);  // also while the others go on
    if (HasFatalFailure()) break;
  }
  for (const Member& member : crowd) end(member);
  EXPECT_EQ(store.reap_dead().value().size(), crowd.size());
  expect_whole(store);
}

}  // namespace
}  // namespace eagleray
