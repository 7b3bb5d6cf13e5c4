// SPDX-License-Identifier: Apache-2.0
// Bytes arrive whole by every way they are written: through the file while a part is cold, by memcpy once it is warm.
#include "warm_pages.h"

#include <cstring>
#include <thread>

#include "heap_copy.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

class WarmPagesTest : public StoreTest {
 protected:
  static void expect_bytes(Store& store, const ObjectId& id, const std::vector<uint8_t>& bytes) {
    const Result<View> view = store.view(id);
    ASSERT_TRUE(view.ok()) << view.status().describe();
    ASSERT_EQ(view.value().size, bytes.size());
    EXPECT_EQ(std::memcmp(view.value().data, bytes.data(), bytes.size()), 0);
    store.release(view.value());
  }
  static void put_and_check(Store& store, uint64_t n, uint64_t size) {
    const std::vector<uint8_t> bytes = pattern(size, n);
    ASSERT_TRUE(store.put(id_of(n), bytes.data(), bytes.size()).ok());
    expect_bytes(store, id_of(n), bytes);
  }
};

TEST_F(WarmPagesTest, ColdAndWarmWritesAreTheSame) {
  Store store = make(32 << 20);
  WarmPages& pages = store.client()->warm_pages();
  pages.start_warming();
  const uint64_t size = 3 * WarmPages::kStep + 4097;
  EXPECT_FALSE(pages.is_warm(0));
  // The same block each time: cold, cold again (which has it warmed), warm in part or whole, warm.
  for (uint64_t n = 0; n < 4; n++) {
    put_and_check(store, n, size);
    if (n == 2) {
      while (!pages.is_warm(0) || !pages.is_warm(3 * WarmPages::kStep)) std::this_thread::yield();
    }
    ASSERT_TRUE(store.remove(id_of(n)).value());
  }
}

TEST_F(WarmPagesTest, PartsThatBeginAnywhere) {
  Store store = make(32 << 20);
  const std::vector<uint8_t> first = pattern(kWriteThroughBytes + 1, 1);
  const std::vector<uint8_t> second = pattern(2 * WarmPages::kStep + 63, 2);
  const std::vector<uint8_t> third = pattern(5, 3);
  const uint64_t size = 4 * WarmPages::kStep;
  std::vector<uint8_t> whole(size, 0);
  const PutPart parts[] = {{third.data(), third.size(), 3}, {first.data(), first.size(), 64}, {second.data(), second.size(), WarmPages::kStep + 17}};
  for (const PutPart& part : parts) std::memcpy(whole.data() + part.offset, part.data, part.length);
  ASSERT_TRUE(store.put_parts(id_of(1), size, parts).ok());
  expect_bytes(store, id_of(1), whole);
}

TEST_F(WarmPagesTest, SmallObjectsHaveTheMemoryAheadWarmed) {
  Store store = make(32 << 20);
  WarmPages& pages = store.client()->warm_pages();
  pages.start_warming();
  put_and_check(store, 1, 100);
  while (!pages.is_warm(3 * WarmPages::kStep)) std::this_thread::yield();
  put_and_check(store, 2, 100);
  expect_bytes(store, id_of(1), pattern(100, 1));
}

// Warming must not change a byte, whoever else is writing there.
TEST_F(WarmPagesTest, WarmingWhileOthersWrite) {
  Store store = make(16 << 20);
  ASSERT_TRUE(store.client()->segment().ensure_heap_backed(16 << 20).ok());
  const pid_t child = in_child([this] {
    Store mine = attach();
    for (uint64_t n = 0; n < 200; n++) {
      const std::vector<uint8_t> bytes = pattern(16 << 10, n);
      if (!mine.put(id_of(n, 2), bytes.data(), bytes.size()).ok()) return 1;
    }
    return 0;
  });
  store.client()->warm_pages().start_warming();
  store.client()->warm_pages().all();
  ASSERT_EQ(wait_for(child), 0);
  while (!store.client()->warm_pages().is_warm((16 << 20) - 1)) std::this_thread::yield();
  for (uint64_t n = 0; n < 200; n++) expect_bytes(store, id_of(n, 2), pattern(16 << 10, n));
}

TEST_F(WarmPagesTest, KeepsAStepReservedAhead) {
  Store store = make(256 << 20);
  WarmPages& pages = store.client()->warm_pages();
  const std::atomic<uint64_t>& backed = store.client()->segment().header().heap_backed;
  pages.start_warming();
  while (backed.load() < kHeapStepBytes) std::this_thread::yield();
  pages.placed(kHeapStepBytes / 2 + 1);
  while (backed.load() < 2 * kHeapStepBytes) std::this_thread::yield();
  pages.placed(kHeapStepBytes);  // there is room ahead: nothing to do
  put_and_check(store, 1, 100 << 10);
}

}  // namespace
}  // namespace eagleray
