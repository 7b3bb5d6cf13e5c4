// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <cstring>
#include <thread>

#include "store_fixture.h"

namespace eagleray {
namespace {

TEST_F(StoreTest, PutReadViewRemove) {
  Store store = make();
  for (const uint64_t size : {0ull, 1ull, 63ull, 64ull, 65ull, 4032ull, 4033ull, 4095ull, 4096ull, 4097ull, 100'000ull, 3'000'000ull}) {
    const ObjectId id = id_of(size);
    const std::vector<uint8_t> bytes = pattern(size + 1, size);
    EXPECT_FALSE(store.contains(id));
    ASSERT_TRUE(store.put(id, bytes.data(), size).ok());
    EXPECT_TRUE(store.contains(id));
    std::vector<uint8_t> target(size + 1, 0xEE);
    const Result<uint64_t> length = store.read(id, target.data(), target.size());
    ASSERT_TRUE(length.ok());
    EXPECT_EQ(length.value(), size);
    EXPECT_EQ(std::memcmp(target.data(), bytes.data(), size), 0);
    EXPECT_EQ(target[size], 0xEE);
    const Result<View> view = store.view(id);
    ASSERT_TRUE(view.ok());
    EXPECT_EQ(view.value().size, size);
    EXPECT_EQ(view.value().is_copy, size <= 4032);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.value().data) % (size > 4032 ? kPage : kGranule), 0u);
    EXPECT_EQ(std::memcmp(view.value().data, bytes.data(), size), 0);
    EXPECT_EQ(store.stats().value().pins, 1u);
    store.release(view.value());
    EXPECT_TRUE(store.remove(id).value());
    EXPECT_FALSE(store.remove(id).value());
    EXPECT_FALSE(store.contains(id));
  }
  expect_empty(store);
}

TEST_F(StoreTest, ReadTellsTheLengthAndCopiesNothingThatDoesNotFit) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "abcdef", 6).ok());
  char target[4] = {'x', 'x', 'x', 'x'};
  EXPECT_EQ(store.read(id_of(1), target, 4).value(), 6u);
  EXPECT_EQ(target[0], 'x');
  EXPECT_EQ(store.read(id_of(2), target, 4).code(), Code::kObjectNotFound);
}

TEST_F(StoreTest, AnIdExistsOnceUntilItIsDeleted) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "old", 3).ok());
  const Status again = store.put(id_of(1), "new", 3);
  EXPECT_EQ(again.code(), Code::kObjectExists);
  EXPECT_NE(again.message().find(to_hex(id_of(1))), std::string::npos);
  const View old_view = store.view(id_of(1)).value();
  ASSERT_TRUE(store.remove(id_of(1)).value());
  EXPECT_FALSE(store.contains(id_of(1)));
  // The old one is held by its reader; its id can be used anew beside it, as a rebuilt object does.
  ASSERT_TRUE(store.put(id_of(1), "new", 3).ok());
  const View new_view = store.view(id_of(1)).value();
  EXPECT_EQ(std::memcmp(old_view.data, "old", 3), 0);
  EXPECT_EQ(std::memcmp(new_view.data, "new", 3), 0);
  EXPECT_EQ(store.stats().value().deleting, 1u);
  expect_sound(store);
  store.release(old_view);
  EXPECT_EQ(store.stats().value().objects, 1u);
  store.release(new_view);
  ASSERT_TRUE(store.remove(id_of(1)).value());
  expect_empty(store);
}

TEST_F(StoreTest, PartsOfAViewHavePinsOfTheirOwn) {
  Store store = make();
  for (const uint64_t size : {1000ull, 100'000ull}) {
    const ObjectId id = id_of(size);
    const std::vector<uint8_t> bytes = pattern(size, size);
    ASSERT_TRUE(store.put(id, bytes.data(), size).ok());
    const View view = store.view(id).value();
    const View part = store.part(view, 64, 500).value();
    EXPECT_EQ(part.size, 500u);
    EXPECT_EQ(part.is_copy, view.is_copy);
    EXPECT_EQ(!view.is_copy, part.data == view.data + 64);
    const View inner = store.part(part, 0, 0).value();
    ASSERT_TRUE(store.remove(id).value());
    store.release(view);
    store.release(inner);
    EXPECT_EQ(std::memcmp(part.data, bytes.data() + 64, 500), 0);
    EXPECT_EQ(store.stats().value().pins, 1u);
    store.release(part);
    EXPECT_EQ(store.stats().value().objects, 0u);
  }
  expect_empty(store);
}

TEST_F(StoreTest, CreateIsInvisibleUntilSealed) {
  Store store = make();
  std::byte* bytes = store.create(id_of(1), 8192).value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % kPage, 0u);
  EXPECT_FALSE(store.contains(id_of(1)));
  EXPECT_EQ(store.view(id_of(1)).code(), Code::kObjectNotFound);
  EXPECT_FALSE(store.remove(id_of(1)).value());
  EXPECT_EQ(store.create(id_of(1), 1).code(), Code::kObjectExists);
  std::memset(bytes, 7, 8192);
  ASSERT_TRUE(store.seal(id_of(1)).ok());
  EXPECT_EQ(store.seal(id_of(1)).code(), Code::kObjectNotFound);
  EXPECT_EQ(store.abort(id_of(1)).code(), Code::kObjectNotFound);
  const View view = store.view(id_of(1)).value();
  EXPECT_EQ(view.data[8191], std::byte{7});
  store.release(view);
  ASSERT_TRUE(store.create(id_of(2), 100).ok());
  ASSERT_TRUE(store.abort(id_of(2)).ok());
  EXPECT_FALSE(store.contains(id_of(2)));
  ASSERT_TRUE(store.remove(id_of(1)).value());
  expect_empty(store);
}

TEST_F(StoreTest, PartsLandAtTheirOffsetsAndGapsAreZero) {
  Store store = make();
  // Dirty memory first, so that zeros are written and not found.
  const std::vector<uint8_t> dirt(500, 0xAA);
  ASSERT_TRUE(store.put(id_of(1), dirt.data(), dirt.size()).ok());
  ASSERT_TRUE(store.remove(id_of(1)).value());
  const PutPart parts[] = {{"head", 4, 0}, {"", 0, 64}, {"body", 4, 64}, {"tail", 4, 256}};
  ASSERT_TRUE(store.put_parts(id_of(2), 500, parts).ok());
  std::vector<uint8_t> expected(500, 0);
  std::memcpy(expected.data(), "head", 4);
  std::memcpy(expected.data() + 64, "body", 4);
  std::memcpy(expected.data() + 256, "tail", 4);
  std::vector<uint8_t> got(500);
  ASSERT_TRUE(store.read(id_of(2), got.data(), 500).ok());
  EXPECT_EQ(got, expected);
  const PutPart overlapping[] = {{"head", 4, 0}, {"body", 4, 3}};
  EXPECT_EQ(store.put_parts(id_of(3), 500, overlapping).code(), Code::kInvalidArgument);
  const PutPart outside[] = {{"head", 4, 497}};
  EXPECT_EQ(store.put_parts(id_of(3), 500, outside).code(), Code::kInvalidArgument);
  const PutPart far[] = {{"head", ~0ull, 8}};
  EXPECT_EQ(store.put_parts(id_of(3), 500, far).code(), Code::kInvalidArgument);
  EXPECT_FALSE(store.contains(id_of(3)));
  expect_sound(store);
}

TEST_F(StoreTest, LargeCopiesByThePool) {
  Store store = make(160 << 20);
  const std::vector<uint8_t> bytes = pattern(40 << 20, 3);
  ASSERT_TRUE(store.put(id_of(1), bytes.data(), bytes.size()).ok());
  const PutPart parts[] = {{bytes.data(), 1000, 0}, {bytes.data() + 1000, bytes.size() - 1000, 4096}};
  ASSERT_TRUE(store.put_parts(id_of(2), bytes.size() + 4096, parts).ok());
  const View whole = store.view(id_of(1)).value();
  const View pieces = store.view(id_of(2)).value();
  EXPECT_EQ(std::memcmp(whole.data, bytes.data(), bytes.size()), 0);
  EXPECT_EQ(std::memcmp(pieces.data, bytes.data(), 1000), 0);
  EXPECT_EQ(std::memcmp(pieces.data + 4096, bytes.data() + 1000, bytes.size() - 1000), 0);
  EXPECT_EQ(pieces.data[2000], std::byte{0});
  store.release(whole);
  store.release(pieces);
}

TEST_F(StoreTest, AFullStoreSaysWhatItHas) {
  Store store = make(1 << 20);
  ASSERT_TRUE(store.put(id_of(1), pattern(600'000, 1).data(), 600'000).ok());
  const Status full = store.put(id_of(2), pattern(600'000, 2).data(), 600'000);
  EXPECT_EQ(full.code(), Code::kStoreFull);
  EXPECT_EQ(full.message(),
            "no room for 600000 bytes in the store: 446464 of 1048576 bytes are free, at most 446464 in one piece");
  EXPECT_EQ(store.create(id_of(3), 1ull << 60).code(), Code::kStoreFull);
  EXPECT_FALSE(store.contains(id_of(2)));
  ASSERT_TRUE(store.remove(id_of(1)).value());
  EXPECT_TRUE(store.put(id_of(2), pattern(600'000, 2).data(), 600'000).ok());
  expect_sound(store);
}

TEST_F(StoreTest, AFullTableIsAFullStore) {
  Store store = make(1 << 20, 1024);
  for (uint64_t n = 0; n < 1024; n++) ASSERT_TRUE(store.put(id_of(n), &n, 8).ok());
  const Status full = store.put(id_of(1024), "x", 1);
  EXPECT_EQ(full.code(), Code::kStoreFull);
  EXPECT_NE(full.message().find("1024 objects"), std::string::npos);
  expect_sound(store);
  for (uint64_t n = 0; n < 1024; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  expect_empty(store);
}

TEST_F(StoreTest, AStrayWriteStaysPrivateAndGoesWithTheLastPin) {
  Store store = make();
  const std::vector<uint8_t> bytes = pattern(10'000, 5);
  ASSERT_TRUE(store.put(id_of(1), bytes.data(), bytes.size()).ok());
  const View first = store.view(id_of(1)).value();
  const View second = store.view(id_of(1)).value();
  const_cast<std::byte*>(first.data)[5000] = std::byte{0xFF};
  std::vector<uint8_t> shared(10'000);
  ASSERT_TRUE(store.read(id_of(1), shared.data(), shared.size()).ok());
  EXPECT_EQ(shared, bytes);
  store.release(first);
  EXPECT_EQ(second.data[5000], std::byte{0xFF});  // one mapping a process: its own views agree
  store.release(second);
  const View clean = store.view(id_of(1)).value();
  EXPECT_EQ(std::memcmp(clean.data, bytes.data(), bytes.size()), 0);
  store.release(clean);
  // Nor does the next object in this place see it.
  const View dirty = store.view(id_of(1)).value();
  const_cast<std::byte*>(dirty.data)[1] = std::byte{0xFF};
  store.release(dirty);
  ASSERT_TRUE(store.remove(id_of(1)).value());
  const std::vector<uint8_t> next = pattern(10'000, 6);
  ASSERT_TRUE(store.put(id_of(2), next.data(), next.size()).ok());
  const View view = store.view(id_of(2)).value();
  EXPECT_EQ(view.data, dirty.data);  // warm memory first
  EXPECT_EQ(std::memcmp(view.data, next.data(), next.size()), 0);
  store.release(view);
}

TEST_F(StoreTest, AWriteToASmallViewReachesNoNeighbour) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "aaaa", 4).ok());
  const View view = store.view(id_of(1)).value();
  const_cast<std::byte*>(view.data)[0] = std::byte{0};
  ASSERT_TRUE(store.put(id_of(2), "bbbb", 4).ok());  // the same page
  const View other = store.view(id_of(2)).value();
  EXPECT_EQ(std::memcmp(other.data, "bbbb", 4), 0);
  const View same = store.view(id_of(1)).value();
  EXPECT_EQ(std::memcmp(same.data, "aaaa", 4), 0);
  for (const View& each : {view, other, same}) store.release(each);
}

TEST_F(StoreTest, ListTellsWhatIsThere) {
  Store store = make();
  ASSERT_TRUE(store.put(id_of(1), "abc", 3).ok());
  ASSERT_TRUE(store.create(id_of(2), 5000).ok());
  const View view = store.view(id_of(1)).value();
  const std::vector<ObjectInfo> objects = store.list().value();
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[0].id, id_of(1));
  EXPECT_EQ(objects[0].size, 3u);
  EXPECT_EQ(objects[0].state, object_state::kSealed);
  EXPECT_EQ(objects[0].pinned_by, std::vector<uint32_t>{store.client()->slot()});
  EXPECT_GT(objects[0].created_at_ms, 1'600'000'000'000u);
  EXPECT_EQ(objects[1].state, object_state::kCreating);
  EXPECT_EQ(objects[1].creator, store.client()->slot());
  const StoreStats stats = store.stats().value();
  EXPECT_EQ(stats.used_bytes, 64u + 8192u);
  EXPECT_EQ(stats.clients, 1u);
  store.release(view);
}

TEST_F(StoreTest, ThreadsOfOneProcessShareTheClient) {
  Store store = make(8 << 20);
  EXPECT_EQ(attach().client().get(), store.client().get());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (uint8_t t = 0; t < 4; t++) {
    threads.emplace_back([this, t, &wrong] {
      Store mine = attach();
      for (uint64_t n = 0; n < 500; n++) {
        // Half on ids of its own, half on ids that all threads fight for.
        const ObjectId id = n % 2 == 0 ? id_of(n, static_cast<uint8_t>(10 + t)) : id_of(n % 8, 99);
        const uint64_t size = n % 3 == 0 ? 5000 : 40;
        const std::vector<uint8_t> bytes(size, static_cast<uint8_t>(id[0] + id[19]));
        const Status put = mine.put(id, bytes.data(), size);
        if (!put.ok() && put.code() != Code::kObjectExists) wrong++;
        const Result<View> view = mine.view(id);
        if (view.ok()) {
          for (uint64_t i = 0; i < view.value().size; i += 39) {
            if (view.value().data[i] != std::byte{bytes[0]}) wrong++;
          }
          mine.release(view.value());
        }
        if (!mine.remove(id).ok()) wrong++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  for (uint64_t n = 0; n < 8; n++) (void)store.remove(id_of(n, 99));
  expect_empty(store);
}

}  // namespace
}  // namespace eagleray
