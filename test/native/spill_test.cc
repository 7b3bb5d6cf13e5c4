// SPDX-License-Identifier: Apache-2.0
// A store larger than its memory: objects go to disk and come back whole, whoever reads, deletes or dies meanwhile.
#include <sys/stat.h>

#include <random>

#include "spill_fixture.h"
#include "spill_thread.h"

namespace eagleray {
namespace {

TEST_F(SpillTest, TenTimesItsMemory) {
  Store store = make_spilling();
  constexpr uint64_t kCount = 160, kSize = 256 << 10;
  for (uint64_t n = 0; n < kCount; n++) ASSERT_TRUE(put(store, n, kSize + n).ok()) << n;
  expect_sound(store);
  EXPECT_GE(store.stats().value().spilled, kCount - kHeap / kSize);
  std::mt19937 random(1);
  for (int i = 0; i < 400; i++) {
    const uint64_t n = random() % kCount;
    expect_content(store, n, kSize + n);
  }
  // Each was written once at most: what comes back has its copy still.
  const StoreStats stats = store.stats().value();
  EXPECT_LE(stats.spilled_objects, kCount);
  EXPECT_GE(stats.evicted_objects, stats.spilled_objects);
  expect_sound(store);
  for (uint64_t n = 0; n < kCount; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, SmallObjectsAreFused) {
  Store store = make_spilling(1 << 20);
  for (uint64_t n = 0; n < 3000; n++) ASSERT_TRUE(put(store, n, 1000).ok()) << n;
  EXPECT_EQ(files(), 1u);
  for (uint64_t n = 0; n < 3000; n++) expect_content(store, n, 1000);
  for (uint64_t n = 0; n < 3000; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, WhatIsViewedStaysAndTheRestIsMadeOnDisk) {
  Store store = make_spilling();
  std::vector<View> views;
  for (uint64_t n = 0; n < 4; n++) {
    ASSERT_TRUE(put(store, n, 900 << 10).ok());
    views.push_back(store.view(id_of(n)).value());
  }
  for (uint64_t n = 4; n < 8; n++) ASSERT_TRUE(put(store, n, 900 << 10).ok()) << n;
  EXPECT_EQ(store.stats().value().spilled, 4u);
  for (uint64_t n = 0; n < 4; n++) EXPECT_EQ(std::memcmp(views[n].data, pattern(900 << 10, n + 1).data(), 900 << 10), 0);
  // There is no room to read them back: they are mapped, and a write into the view stays private.
  const View mapped = store.view(id_of(5)).value();
  ASSERT_NE(mapped.mapping, nullptr);
  const View part = store.part(mapped, 8192, 100).value();
  const_cast<std::byte*>(mapped.data)[8192] ^= std::byte{1};
  EXPECT_EQ(part.data[0], mapped.data[8192]);
  store.release(mapped);
  EXPECT_EQ(std::memcmp(part.data + 1, pattern(900 << 10, 6).data() + 8193, 99), 0);
  store.release(part);
  expect_content(store, 5, 900 << 10);
  for (const View& view : views) store.release(view);
  for (uint64_t n = 0; n < 8; n++) expect_content(store, n, 900 << 10);
  for (uint64_t n = 0; n < 8; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, LargerThanTheStore) {
  Store store = make_spilling();
  ASSERT_TRUE(put(store, 1, 3 * kHeap).ok());
  expect_content(store, 1, 3 * kHeap);
  // In place, and with parts.
  std::byte* const made = store.create(id_of(2), 2 * kHeap).value();
  std::memcpy(made, pattern(2 * kHeap, 3).data(), 2 * kHeap);
  ASSERT_TRUE(store.seal(id_of(2)).ok());
  expect_content(store, 2, 2 * kHeap);
  const std::vector<uint8_t> bytes = pattern(kHeap, 9);
  const PutPart parts[] = {{bytes.data(), 100, 7}, {bytes.data() + 100, bytes.size() - 100, kHeap}};
  ASSERT_TRUE(store.put_parts(id_of(3), 2 * kHeap + 5, parts).ok());
  const View view = store.view(id_of(3)).value();
  EXPECT_EQ(std::memcmp(view.data + 7, bytes.data(), 100), 0);
  EXPECT_EQ(view.data[500], std::byte{0});
  EXPECT_EQ(std::memcmp(view.data + kHeap, bytes.data() + 100, bytes.size() - 100), 0);
  store.release(view);
  ASSERT_TRUE(store.create(id_of(4), 2 * kHeap).ok());
  ASSERT_TRUE(store.abort(id_of(4)).ok());
  for (uint64_t n = 1; n < 4; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, WhatIsReservedIsWrittenByPiecesWhereverItLies) {
  Store store = make_spilling();
  const uint64_t sizes[] = {0, 1, 5000, 1 << 20, kHeap + (1 << 20) + 7};  // the last one on disk
  for (uint64_t n = 0; n < std::size(sizes); n++) {
    const Result<Reserved> reserved = store.reserve(id_of(n, 1), sizes[n], false);
    ASSERT_TRUE(reserved.ok()) << reserved.status().describe();
    EXPECT_EQ(reserved.value().data == nullptr, sizes[n] > kHeap);
    const auto bytes = pattern(sizes[n], n + 1);
    const auto* const first = reinterpret_cast<const std::byte*>(bytes.data());
    std::vector<std::byte> back(sizes[n]);
    constexpr uint64_t kPiece = 300'001;
    // From the end to the start: pieces come in any order.
    for (uint64_t piece = sizes[n] / kPiece + 1; piece-- > 0;) {
      const uint64_t at = piece * kPiece, length = std::min(kPiece, sizes[n] - at);
      ASSERT_TRUE(store.write(reserved.value(), at, {first + at, length}).ok());
      ASSERT_TRUE(store.read_back(reserved.value(), at, {back.data() + at, length}).ok());
    }
    EXPECT_TRUE(std::equal(back.begin(), back.end(), first));
    EXPECT_FALSE(store.contains(id_of(n, 1)));
    ASSERT_TRUE(store.seal(id_of(n, 1)).ok());
    expect_content(store, n, sizes[n]);
  }
  const Result<Reserved> given_up = store.reserve(id_of(9, 1), 2 * kHeap);
  ASSERT_TRUE(given_up.ok());
  EXPECT_TRUE(store.abort(id_of(9, 1)).ok());
  for (uint64_t n = 0; n < std::size(sizes); n++) EXPECT_TRUE(store.remove(id_of(n, 1)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, ReadTellsThatItIsOnDisk) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 40; n++) ASSERT_TRUE(put(store, n, 200 << 10).ok());
  uint64_t spilled = 0;
  std::vector<std::byte> target(200 << 10);
  for (uint64_t n = 0; n < 40; n++) {
    const Result<uint64_t> got = store.read(id_of(n), target.data(), target.size());
    spilled += got.code() == Code::kSpilled;
    if (got.ok()) {
      EXPECT_EQ(std::memcmp(target.data(), pattern(200 << 10, n + 1).data(), target.size()), 0);
    }
    EXPECT_TRUE(store.contains(id_of(n)));
  }
  EXPECT_EQ(spilled, store.stats().value().spilled);
  EXPECT_GE(spilled, 20u);
}

TEST_F(SpillTest, QuotaIsAnErrorAndLosesNothing) {
  Store store = make_spilling(kHeap, 2 << 20);
  uint64_t made = 0;
  Status status;
  while ((status = put(store, made, 500 << 10)).ok()) made++;
  EXPECT_EQ(status.code(), Code::kDiskFull) << status.describe();
  EXPECT_GE(made, 11u);
  for (uint64_t n = 0; n < made; n++) expect_content(store, n, 500 << 10);
  expect_sound(store);
  // Deleting makes room again.
  for (uint64_t n = 0; n < 5; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  ASSERT_TRUE(put(store, 100, 500 << 10).ok());
}

TEST_F(SpillTest, WhatIsDeletedGivesItsDiskBack) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 40; n++) ASSERT_TRUE(put(store, n, 500'000).ok());
  Client& client = *store.client();
  const uint64_t before = store.stats().value().disk_bytes;
  const auto blocks = [this] {
    uint64_t sum = 0;
    for (const auto& file : std::filesystem::directory_iterator(disk())) {
      struct stat info;
      EXPECT_EQ(stat(file.path().c_str(), &info), 0);
      sum += static_cast<uint64_t>(info.st_blocks) * 512;
    }
    return sum;
  };
  const uint64_t blocks_before = blocks();
  for (uint64_t n = 0; n < 40; n += 2) ASSERT_TRUE(store.remove(id_of(n)).value());
  reclaim_disk(client.segment(), client.slot(), client.generation(), true);
  EXPECT_LE(store.stats().value().disk_bytes, before * 6 / 10);
  EXPECT_LE(blocks(), blocks_before * 6 / 10);
  expect_sound(store);
  for (uint64_t n = 1; n < 40; n += 2) expect_content(store, n, 500'000);
  for (uint64_t n = 1; n < 40; n += 2) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

TEST_F(SpillTest, TheThreadSpillsBeforeTheStoreIsFull) {
  Store store = make_spilling(16 << 20);
  const SpillThread thread(store.client());
  for (uint64_t n = 0; n < 14; n++) ASSERT_TRUE(put(store, n, 1 << 20).ok());
  while (store.stats().value().used_bytes > (16 << 20) * 8 / 10) std::this_thread::yield();
  for (uint64_t n = 0; n < 14; n++) expect_content(store, n, 1 << 20);
  for (uint64_t n = 0; n < 14; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
}

// Their blocks are pages, so they are mapped, and must lie so that they can be.
TEST_F(SpillTest, SizesJustBelowAPageAreMapped) {
  Store store = make_spilling(1 << 20);
  for (uint64_t size = 4000; size < 4100; size++) ASSERT_TRUE(put(store, size, size).ok());
  ASSERT_TRUE(spill_objects(store, kHeap).ok());
  std::vector<View> views;
  for (uint64_t n = 0; n < (1 << 20) / 4096; n++) {
    ASSERT_TRUE(put(store, n, 4096).ok());
    views.push_back(store.view(id_of(n)).value());
  }
  for (uint64_t size = 4000; size < 4100; size++) expect_content(store, size, size);
  for (const View& view : views) store.release(view);
}

// The private mapping has pages of whoever wrote into a view; the next object there must not show them.
TEST_F(SpillTest, AViewThatWasWrittenIntoWhileItsObjectWentToDiskLeavesNothing) {
  Store store = make_spilling();
  constexpr uint64_t kSize = 512 << 10;
  ASSERT_TRUE(put(store, 1, kSize).ok());
  const Status spilled = while_spilling(store, kSize, [&store] {
    const View view = store.view(id_of(1)).value();
    std::memset(const_cast<std::byte*>(view.data), 0xee, view.size);
    store.release(view);
  });
  EXPECT_TRUE(spilled.ok()) << spilled.describe();
  ASSERT_TRUE(spill_objects(store, kSize).ok());
  ASSERT_EQ(store.stats().value().spilled, 1u);
  for (uint64_t n = 2; n < 9; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  for (uint64_t n = 2; n < 9; n++) expect_content(store, n, kSize);
}

TEST_F(SpillTest, WhatIsDeletedWhileItIsWrittenGivesItsDiskBack) {
  Store store = make_spilling();
  constexpr uint64_t kSize = 512 << 10;
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  const Status spilled = while_spilling(store, 4 * kSize, [&store] {
    for (uint64_t n = 0; n < 3; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  });
  EXPECT_TRUE(spilled.ok()) << spilled.describe();
  Client& client = *store.client();
  reclaim_disk(client.segment(), client.slot(), client.generation(), true);
  EXPECT_EQ(store.stats().value().disk_bytes, kSize);
  expect_sound(store);
  expect_content(store, 3, kSize);
}

// Small and large ones, in place and not, by several threads: they are fused like those that are taken out of memory.
TEST_F(SpillTest, AnyNumberIsMadeOnDiskWhileAllMemoryIsViewed) {
  Store store = make_spilling(1 << 20);
  std::vector<View> views;
  for (uint64_t n = 0; n < (1 << 20) / kPage; n++) {
    ASSERT_TRUE(put(store, n, kPage).ok());
    views.push_back(store.view(id_of(n)).value());
  }
  constexpr uint64_t kEach = 1500;
  const auto size_of = [](uint64_t n) { return n % 100 == 0 ? 20'000 + n : 1 + n * 37 % 5000; };
  const auto fill = [&](uint8_t owner) {
    for (uint64_t n = 0; n < kEach; n++) {
      const uint64_t size = size_of(n);
      if (n % 3 != 0) {
        ASSERT_TRUE(put(store, n, size, owner).ok()) << n;
        continue;
      }
      const Result<std::byte*> bytes = store.create(id_of(n, owner), size);
      ASSERT_TRUE(bytes.ok()) << bytes.status().describe();
      std::memcpy(bytes.value(), pattern(size, n + owner).data(), size);
      ASSERT_TRUE((n % 30 == 0 ? store.abort(id_of(n, owner)) : store.seal(id_of(n, owner))).ok());
    }
  };
  std::thread other([&] { fill(2); });
  fill(3);
  other.join();
  EXPECT_EQ(files(), 1u);
  expect_sound(store);
  ASSERT_TRUE(put(store, 0, 0, 2).ok()) << "none at all";
  for (const uint8_t owner : {uint8_t{2}, uint8_t{3}}) {
    for (uint64_t n = 1; n < kEach; n++) {
      if (n % 30 == 0) continue;
      expect_content(store, n, size_of(n), owner);
      ASSERT_TRUE(store.remove(id_of(n, owner)).value());
    }
  }
  expect_content(store, 0, 0, 2);
  ASSERT_TRUE(store.remove(id_of(0, 2)).value());
  for (const View& view : views) store.release(view);
  for (uint64_t n = 0; n < views.size(); n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

// Several processes put, read and delete in a store of a quarter of what they hold.
TEST_F(SpillTest, ManyProcesses) {
  Store store = make_spilling();
  std::vector<pid_t> children;
  for (uint8_t child = 2; child < 5; child++) {
    children.push_back(in_child([this, child] {
      Store mine = attach();
      std::mt19937 random(child);
      std::vector<uint64_t> sizes(60, 0);
      for (int i = 0; i < 800; i++) {
        const uint64_t n = random() % sizes.size();
        if (sizes[n] == 0) {
          sizes[n] = 1 + random() % (random() % 4 == 0 ? 500'000 : 9000);
          if (!put(mine, n, sizes[n], child).ok()) return 1;
        } else if (random() % 3 == 0) {
          sizes[n] = 0;
          if (!mine.remove(id_of(n, child)).value()) return 2;
        } else {
          const Result<View> view = mine.view(id_of(n, child));
          if (!view.ok() || view.value().size != sizes[n]) return 3;
          if (std::memcmp(view.value().data, pattern(sizes[n], n + child).data(), sizes[n]) != 0) return 4;
          mine.release(view.value());
        }
      }
      for (uint64_t n = 0; n < sizes.size(); n++) {
        if (sizes[n] != 0 && !mine.remove(id_of(n, child)).value()) return 5;
      }
      return 0;
    }));
  }
  const SpillThread thread(store.client());  // after the forks: a child would inherit the locks that it holds
  for (const pid_t child : children) EXPECT_EQ(wait_for(child), 0);
  expect_empty(store);
}

// Processes that spill and restore, killed at random.
TEST_F(SpillTest, KilledAtRandom) {
  Store store = make_spilling();
  constexpr uint64_t kCount = 60, kSize = 200'000;
  for (uint64_t n = 0; n < kCount; n++) ASSERT_TRUE(put(store, n, kSize + n).ok());
  std::mt19937 random(7);
  for (int round = 0; round < 40; round++) {
    int pipe_ends[2];
    ASSERT_EQ(pipe(pipe_ends), 0);
    const pid_t child = in_child([&] {
      Store mine = attach();
      std::mt19937 theirs(static_cast<unsigned>(round));
      for (uint64_t i = 0;; i++) {
        const Result<View> view = mine.view(id_of(theirs() % kCount));
        if (view.ok()) mine.release(view.value());
        (void)put(mine, i, 100'000, 9);
        (void)mine.remove(id_of(i, 9));
        const char turn = 1;
        if (write(pipe_ends[1], &turn, 1) != 1) return 1;
      }
    });
    char turn = 0;
    for (unsigned turns = 1 + random() % 30; turns > 0; turns--) ASSERT_EQ(read(pipe_ends[0], &turn, 1), 1);
    kill(child, SIGKILL);
    ASSERT_EQ(wait_for(child), -SIGKILL);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    ASSERT_TRUE(store.reap_dead().ok());
    expect_sound(store);
    EXPECT_EQ(store.stats().value().pins, 0u);
    for (const ObjectInfo& object : store.list().value()) {
      if (object.id[0] == 9) {
        ASSERT_TRUE(store.remove(object.id).value());
      }
    }
    expect_content(store, static_cast<uint64_t>(round), kSize + static_cast<uint64_t>(round));
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
  for (uint64_t n = 0; n < kCount; n++) expect_content(store, n, kSize + n);
  for (uint64_t n = 0; n < kCount; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_nothing(store);
}

}  // namespace
}  // namespace eagleray
