// SPDX-License-Identifier: Apache-2.0
// The allocator against a model: random operations, the invariants after each stretch, and what is left at the end.
#include "allocator.h"

#include <algorithm>
#include <map>
#include <random>

#include "bins.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

class AllocatorTest : public StoreTest {
 protected:
  std::unique_ptr<Segment> segment_of(uint64_t capacity, uint32_t table = 4096) {
    Result<std::unique_ptr<Segment>> segment = Segment::create(path(), {capacity, table, NodeId{}});
    EXPECT_TRUE(segment.ok()) << segment.status().describe();
    return std::move(segment.value());
  }
  static void expect_sound(const Allocator& allocator) {
    const std::optional<std::string> wrong = allocator.check();
    ASSERT_FALSE(wrong.has_value()) << *wrong;
  }
};

TEST_F(AllocatorTest, BinsAreOrderedAndAdjacent) {
  uint32_t last = 0;
  for (uint64_t units = 1; units < 100'000; units++) {
    const BinIndex bin = bin_of(units);
    const uint32_t number = bin.first * kSecondLevels + bin.second;
    ASSERT_TRUE(number == last || number == last + 1) << units;
    last = number;
  }
  EXPECT_LT(bin_of(kMaxHeapBytes / kGranule).first, kFirstLevels);
}

TEST_F(AllocatorTest, BlocksAreAlignedAndSized) {
  EXPECT_EQ(block_bytes(0), 64u);
  EXPECT_EQ(block_bytes(64), 64u);
  EXPECT_EQ(block_bytes(65), 128u);
  EXPECT_EQ(block_bytes(4033), 4096u);
  EXPECT_EQ(block_bytes(4097), 8192u);
  const auto segment = segment_of(1 << 20);
  Allocator allocator(*segment);
  const uint32_t small = allocator.allocate(64, 0).value();
  const uint32_t large = allocator.allocate(8192, 1).value();
  EXPECT_EQ(segment->block(small).size, 64u);
  EXPECT_EQ(segment->block(large).size, 8192u);
  EXPECT_EQ(segment->block(large).offset % kPage, 0u);
  expect_sound(allocator);
}

TEST_F(AllocatorTest, WhatWasFreedLastComesBackFirst) {
  const auto segment = segment_of(64 << 20);
  Allocator allocator(*segment);
  std::vector<uint32_t> blocks;
  for (uint32_t i = 0; i < 20; i++) blocks.push_back(allocator.allocate(1 << 20, i).value());
  const uint64_t fifth = segment->block(blocks[5]).offset;
  const uint64_t ninth = segment->block(blocks[9]).offset;
  ASSERT_TRUE(allocator.free(blocks[5]).ok());
  ASSERT_TRUE(allocator.free(blocks[9]).ok());
  EXPECT_EQ(segment->block(allocator.allocate(1 << 20, 5).value()).offset, ninth);
  EXPECT_EQ(segment->block(allocator.allocate(1 << 20, 9).value()).offset, fifth);
}

TEST_F(AllocatorTest, TheWholeHeapCanBeOneObjectAgain) {
  const auto segment = segment_of(4 << 20);
  Allocator allocator(*segment);
  std::vector<uint32_t> blocks;
  while (true) {
    const Result<uint32_t> block = allocator.allocate(blocks.size() % 2 == 0 ? 192 : 4096, static_cast<uint32_t>(blocks.size()));
    if (!block.ok()) {
      EXPECT_EQ(block.code(), Code::kStoreFull);
      break;
    }
    blocks.push_back(block.value());
  }
  EXPECT_GT(blocks.size(), 1500u);
  expect_sound(allocator);
  for (const uint32_t block : blocks) ASSERT_TRUE(allocator.free(block).ok());
  expect_sound(allocator);
  EXPECT_EQ(allocator.used_bytes(), 0u);
  // Chunks kept for small objects are given up for it.
  const Result<uint32_t> all = allocator.allocate(4 << 20, 0);
  ASSERT_TRUE(all.ok());
  expect_sound(allocator);
  ASSERT_TRUE(allocator.free(all.value()).ok());
  EXPECT_EQ(allocator.largest_free(), 4u << 20);
}

TEST_F(AllocatorTest, SmallObjectsDoNotSplitTheHeap) {
  const auto segment = segment_of(4 << 20);
  Allocator allocator(*segment);
  std::vector<uint32_t> kept;
  for (uint32_t round = 0; round < 16; round++) {
    const uint32_t large = allocator.allocate(128 << 10, round).value();
    kept.push_back(allocator.allocate(64, 100 + round).value());
    ASSERT_TRUE(allocator.free(large).ok());
  }
  // All sixteen lie in one chunk, so all else is still in one piece or two.
  EXPECT_GE(allocator.largest_free(), (4u << 20) - (128u << 10) - kChunkBytes);
  expect_sound(allocator);
}

// Sizes as programs have them: many tiny, some of a few pages, few large.
uint64_t random_size(std::mt19937_64& random) {
  switch (random() % 8) {
    case 0: return random() % 8;
    case 1: case 2: case 3: return random() % 1024;
    case 4: case 5: return random() % 20'000;
    case 6: return random() % 200'000;
    default: return 4000 + random() % 200;
  }
}

TEST_F(AllocatorTest, RandomOperationsAgreeWithAModel) {
  for (uint64_t seed = 1; seed <= 6; seed++) {
    std::filesystem::remove_all(path());
    const auto segment = segment_of(4 << 20);
    Allocator allocator(*segment);
    std::mt19937_64 random(seed);
    std::map<uint64_t, std::pair<uint32_t, uint64_t>> used;  // offset -> block, bytes
    uint64_t used_bytes = 0;
    for (int step = 0; step < 6000; step++) {
      // Fills and empties in turns.
      const bool filling = step / 1000 % 2 == 0;
      if (used.empty() || random() % 10 < (filling ? 7u : 3u)) {
        const uint64_t bytes = block_bytes(random_size(random));
        const Result<uint32_t> block = allocator.allocate(bytes, static_cast<uint32_t>(step));
        if (!block.ok()) {
          ASSERT_EQ(block.code(), Code::kStoreFull);
          ASSERT_LT(allocator.largest_free(), bytes);
          continue;
        }
        const uint64_t offset = segment->block(block.value()).offset;
        // No overlap with the neighbours in the model.
        const auto after = used.lower_bound(offset);
        ASSERT_TRUE(after == used.end() || offset + bytes <= after->first);
        ASSERT_TRUE(after == used.begin() || std::prev(after)->first + std::prev(after)->second.second <= offset);
        used[offset] = {block.value(), bytes};
        used_bytes += bytes;
      } else {
        auto victim = std::next(used.begin(), static_cast<long>(random() % used.size()));
        ASSERT_TRUE(allocator.free(victim->second.first).ok());
        used_bytes -= victim->second.second;
        used.erase(victim);
      }
      ASSERT_EQ(allocator.used_bytes(), used_bytes);
      if (step % 100 == 0) expect_sound(allocator);
      if (step % 1500 == 1499) {
        // As after the death of a holder of the lock.
        std::vector<Allocator::UsedBlock> blocks;
        for (const auto& [offset, block] : used) blocks.push_back({offset, block.second, segment->block(block.first).entry});
        ASSERT_TRUE(allocator.rebuild(blocks).ok());
        for (const Allocator::UsedBlock& block : blocks) used[block.offset].first = block.block;
        expect_sound(allocator);
        ASSERT_EQ(allocator.used_bytes(), used_bytes);
      }
    }
    for (const auto& [offset, block] : used) ASSERT_TRUE(allocator.free(block.first).ok());
    expect_sound(allocator);
    ASSERT_TRUE(allocator.allocate(4 << 20, 0).ok());
  }
}

TEST_F(AllocatorTest, RebuildRefusesWhatContradictsItself) {
  const auto segment = segment_of(1 << 20);
  Allocator allocator(*segment);
  const auto rebuild = [&allocator](std::vector<Allocator::UsedBlock> used) { return allocator.rebuild(used).code(); };
  EXPECT_EQ(rebuild({{0, 4096, 0}, {0, 4096, 1}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{0, 8192, 0}, {4096, 64, 1}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{64, 64, 0}, {4096 - 64, 128, 1}, {4096, 4096, 2}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{64, 4096, 0}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{1 << 20, 64, 0}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{~0ull & ~63ull, 64, 0}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{0, 1ull << 60, 0}}), Code::kStoreCorrupt);
  EXPECT_EQ(rebuild({{0, 4096, 0}, {4096, 64, 1}, {8192 - 64, 64, 2}}), Code::kOk);
  expect_sound(allocator);
}

// Any bytes in the records give an answer: a block, full, or corrupt. Never a crash, a hang or a place outside the heap.
TEST_F(AllocatorTest, GarbageInTheRecordsIsAnError) {
  const auto segment = segment_of(1 << 20);
  Allocator allocator(*segment);
  int corrupt = 0;
  for (uint64_t seed = 0; seed < 400; seed++) {
    std::mt19937_64 random(seed);
    ASSERT_TRUE(allocator.format().ok());
    std::vector<uint32_t> blocks;
    for (uint32_t i = 0; i < 60; i++) {
      const Result<uint32_t> block = allocator.allocate(block_bytes(random() % 12'000), i);
      if (block.ok()) blocks.push_back(block.value());
    }
    for (size_t i = 0; i < blocks.size(); i += 2) ASSERT_TRUE(allocator.free(blocks[i]).ok());
    // A few flipped bits, in the state or in a record.
    for (int flip = 0; flip < 3; flip++) {
      auto* bytes = random() % 2 == 0 ? reinterpret_cast<uint8_t*>(&segment->allocator())
                                      : reinterpret_cast<uint8_t*>(&segment->block(static_cast<uint32_t>(random() % 80)));
      bytes[random() % (bytes == reinterpret_cast<uint8_t*>(&segment->allocator()) ? sizeof(AllocatorState) : sizeof(BlockRecord))] ^=
          static_cast<uint8_t>(1u << (random() % 8));
    }
    for (uint32_t i = 0; i < 60; i++) {
      const Result<uint32_t> block = allocator.allocate(block_bytes(random() % 12'000), i);
      if (block.code() == Code::kStoreCorrupt) corrupt++;
      if (i % 3 == 0) {
        const Status freed = allocator.free(static_cast<uint32_t>(random() % 100));
        if (freed.code() == Code::kStoreCorrupt) corrupt++;
      }
    }
    (void)allocator.largest_free();
  }
  EXPECT_GT(corrupt, 0);
}

}  // namespace
}  // namespace eagleray
