// SPDX-License-Identifier: Apache-2.0
// Processes killed at every marked instruction, and at random ones, while they use the store: nothing sealed is lost, nothing leaks,
// every invariant holds once they are reaped.
#include "fault_points.h"

#include <cstring>
#include <map>
#include <random>

#include "hooks.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

constexpr uint64_t kHeap = 8 << 20;

// What an object of that id holds, whoever put it.
std::vector<uint8_t> content(const ObjectId& id, uint64_t size) { return pattern(size, id[0] * 1000ull + id[19]); }

Status put(Store& store, const ObjectId& id, uint64_t size) { return store.put(id, content(id, size).data(), size); }

// Meets every place outside the reaper and the rebuild.
void use(Store& store) {
  for (uint64_t n = 0; n < 3; n++) {
    const ObjectId small = id_of(10 * n, 2), large = id_of(10 * n + 1, 2), made = id_of(10 * n + 2, 2), dropped = id_of(10 * n + 3, 2);
    (void)put(store, small, 100 + n);
    (void)put(store, large, 60'000 + n);
    const Result<std::byte*> bytes = store.create(made, 9000);
    if (bytes.ok()) std::memcpy(bytes.value(), content(made, 9000).data(), 9000);
    (void)store.seal(made);
    (void)store.create(dropped, 500'000);
    (void)store.abort(dropped);
    const Result<View> view = store.view(large);
    const Result<View> other = store.view(id_of(1, 1));
    (void)store.remove(large);
    if (view.ok()) store.release(view.value());
    if (other.ok()) store.release(other.value());
    (void)store.remove(small);
    // Neighbours on both sides are free now.
    (void)put(store, small, 5000);
    (void)store.remove(made);
    (void)store.remove(small);
    (void)put(store, small, 200);
  }
}

class FaultTest : public StoreTest {
 protected:
  // Ten objects that must survive everything.
  void put_lasting(Store& store) {
    for (uint64_t n = 0; n < 10; n++) ASSERT_TRUE(put(store, id_of(n, 1), n * 3000).ok());
  }

  // All that is sealed holds what it should.
  static void expect_content(Store& store) {
    for (const ObjectInfo& object : store.list().value()) {
      ASSERT_EQ(object.state, object_state::kSealed) << to_hex(object.id);
      std::vector<uint8_t> bytes(object.size + 1);
      ASSERT_EQ(store.read(object.id, bytes.data(), bytes.size()).value(), object.size);
      bytes.resize(object.size);
      ASSERT_TRUE(bytes == content(object.id, object.size)) << to_hex(object.id);
    }
  }

  // After everyone else is dead and reaped: sound, the lasting objects are there, and nothing has leaked.
  static void expect_whole(Store& store) {
    expect_sound(store);
    EXPECT_EQ(store.stats().value().clients, 1u);
    EXPECT_EQ(store.stats().value().pins, 0u);
    expect_content(store);
    for (uint64_t n = 0; n < 10; n++) ASSERT_TRUE(store.contains(id_of(n, 1))) << n;
    for (const ObjectInfo& object : store.list().value()) ASSERT_TRUE(store.remove(object.id).value());
    expect_empty(store);
    // Not a byte of the heap is missing.
    ASSERT_TRUE(store.create(id_of(99), kHeap).ok());
    ASSERT_TRUE(store.abort(id_of(99)).ok());
    expect_empty(store);
  }

  pid_t killed_child(const char* place, int nth, void (*body)(Store&)) {
    return in_child([&, this] {
      Store theirs = attach();
      select_fault(place, nth);
      body(theirs);
      select_fault(nullptr);
      return 0;
    });
  }

  static bool in_reaper(const char* place) { return std::strncmp(place, "reap.", 5) == 0 || std::strncmp(place, "rebuild.", 8) == 0; }
};

TEST_F(FaultTest, KilledAtEveryPlace) {
  Store store = make(kHeap, 1024);
  for (const char* place : kFaultPoints) {
    if (in_reaper(place)) continue;
    for (const int nth : {1, 2, 5}) {
      put_lasting(store);
      const int ended = wait_for(killed_child(place, nth, use));
      if (nth <= 2) {
        ASSERT_EQ(ended, -SIGKILL) << place;
      }
      if (ended == -SIGKILL) {
        ASSERT_EQ(store.reap_dead().value(), std::vector<uint32_t>{1}) << place;
      }
      expect_whole(store);
      if (HasFatalFailure()) FAIL() << "killed at passage " << nth << " of " << place;
    }
  }
}

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
  hooks.ring = [](Client&, uint32_t slot) { heard += slot == 0; };
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
