// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "full_fence.h"

namespace eagleray {
namespace {

struct Ring {
  RingControl control{};
  std::vector<std::byte> memory = std::vector<std::byte>(kRingBytes + 64, std::byte{0xAB});
  RingWriter writer{control, memory.data()};
  RingReader reader{control, memory.data()};

  // The bytes after the ring, which nobody may touch.
  bool guard_intact() const {
    for (size_t i = kRingBytes; i < memory.size(); ++i) {
      if (memory[i] != std::byte{0xAB}) return false;
    }
    return true;
  }
};

std::vector<uint8_t> packet_of(uint32_t length, uint32_t seed) {
  std::vector<uint8_t> packet(length);
  for (uint32_t i = 0; i < length; ++i) packet[i] = static_cast<uint8_t>(seed * 31 + i * 7);
  return packet;
}

TEST(Ring, GivesPacketsBackInOrder) {
  Ring ring;
  for (uint32_t length : {0u, 1u, 7u, 8u, 9u, 4096u, kPacketBytesMax}) {
    const auto packet = packet_of(length, length);
    ASSERT_EQ(ring.writer.write(packet.data(), length), RingResult::kOk);
    std::vector<uint8_t> got(kPacketBytesMax);
    uint32_t got_length = 99;
    ASSERT_TRUE(ring.reader.ready());
    ASSERT_EQ(ring.reader.read(got.data(), kPacketBytesMax, &got_length), RingResult::kOk);
    ring.reader.release_room();
    got.resize(got_length);
    EXPECT_EQ(got, packet);
  }
  uint32_t length;
  EXPECT_FALSE(ring.reader.ready());
  EXPECT_EQ(ring.reader.read(nullptr, 0, &length), RingResult::kEmpty);
}

TEST(Ring, RefusesWhatIsTooLong) {
  Ring ring;
  std::vector<uint8_t> big(kPacketBytesMax + 1);
  EXPECT_EQ(ring.writer.write(big.data(), kPacketBytesMax + 1), RingResult::kTooLong);
  EXPECT_EQ(ring.writer.write(big.data(), 100), RingResult::kOk);
  uint32_t length;
  EXPECT_EQ(ring.reader.read(big.data(), 99, &length), RingResult::kTooLong);
  EXPECT_EQ(ring.reader.read(big.data(), 100, &length), RingResult::kOk);
}

TEST(Ring, LongestPacketFitsAtEveryPosition) {
  Ring ring;
  std::vector<uint8_t> got(kPacketBytesMax);
  const auto longest = packet_of(kPacketBytesMax, 5);
  uint32_t length;
  for (uint32_t step = 0; step < 400; ++step) {
    ASSERT_EQ(ring.writer.write(longest.data(), kPacketBytesMax), RingResult::kOk);
    ASSERT_EQ(ring.reader.read(got.data(), kPacketBytesMax, &length), RingResult::kOk);
    ASSERT_EQ(std::memcmp(got.data(), longest.data(), kPacketBytesMax), 0);
    ASSERT_EQ(ring.writer.write(longest.data(), step % 97), RingResult::kOk);
    ASSERT_EQ(ring.reader.read(got.data(), kPacketBytesMax, &length), RingResult::kOk);
    ring.reader.release_room();
  }
  EXPECT_TRUE(ring.guard_intact());
}

TEST(Ring, FullWritesNothingAndTheReaderTellsOfRoom) {
  Ring ring;
  const auto packet = packet_of(1000, 1);
  uint32_t written = 0;
  while (ring.writer.write(packet.data(), 1000) == RingResult::kOk) ++written;
  EXPECT_EQ(written, kRingBytes / packet_span(1000));
  ring.writer.wait_for_room();
  EXPECT_EQ(ring.writer.write(packet.data(), 1000), RingResult::kFull);
  uint32_t told = 0;
  uint32_t length;
  std::vector<uint8_t> got(kPacketBytesMax);
  for (uint32_t i = 0; i < written; ++i) {
    ASSERT_EQ(ring.reader.read(got.data(), kPacketBytesMax, &length), RingResult::kOk);
    if (ring.reader.release_room()) {
      ++told;
      EXPECT_GE(i + 1, written / 2);
    }
  }
  EXPECT_EQ(told, 1u);
  EXPECT_EQ(ring.writer.write(packet.data(), 1000), RingResult::kOk);
}

TEST(Ring, GarbageIsCorruptNeverOutOfBounds) {
  std::mt19937_64 random(7);
  std::vector<uint8_t> got(kPacketBytesMax);
  for (int round = 0; round < 3000; ++round) {
    Ring ring;
    const auto packet = packet_of(static_cast<uint32_t>(random() % 500), 3);
    const uint32_t good = static_cast<uint32_t>(random() % 4);
    for (uint32_t i = 0; i < good; ++i) ring.writer.write(packet.data(), static_cast<uint32_t>(packet.size()));
    switch (random() % 4) {
      case 0: ring.control.tail.store(random()); break;
      case 1: ring.control.tail.store(random() % (2 * kRingBytes)); break;
      case 2: {  // noise where the next header will be read
        const uint64_t noise = random();
        std::memcpy(ring.memory.data(), &noise, sizeof noise);
        ring.control.tail.store(kRingBytes);
        break;
      }
      default: ring.control.head.store(random()); break;
    }
    uint32_t length;
    RingResult result;
    do result = ring.reader.read(got.data(), kPacketBytesMax, &length);
    while (result == RingResult::kOk);
    EXPECT_TRUE(result == RingResult::kEmpty || result == RingResult::kCorrupt);
    for (int i = 0; i < 600 && ring.writer.write(got.data(), 500) == RingResult::kOk; ++i) {}
    EXPECT_TRUE(ring.guard_intact());
  }
}

TEST(Ring, ImpossibleHeadIsCorruptForTheWriter) {
  Ring ring;
  std::vector<uint8_t> packet(1000);
  ring.control.head.store(12345);
  RingResult result;
  do result = ring.writer.write(packet.data(), 1000);
  while (result == RingResult::kOk);
  EXPECT_EQ(result, RingResult::kCorrupt);
}

TEST(Ring, TwoThreadsMoveEveryPacketInOrder) {
  Ring ring;
  constexpr uint32_t kPackets = 60000;
  std::thread producer([&] {
    for (uint32_t i = 0; i < kPackets; ++i) {
      const auto packet = packet_of(8 + i * 37 % 3000, i);
      while (ring.writer.write(packet.data(), static_cast<uint32_t>(packet.size())) != RingResult::kOk) std::this_thread::yield();
    }
  });
  std::vector<uint8_t> got(kPacketBytesMax);
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < kPackets; ++i) {
    uint32_t length = 0;
    RingResult result;
    while ((result = ring.reader.read(got.data(), kPacketBytesMax, &length)) == RingResult::kEmpty) {
      ring.reader.release_room();
      std::this_thread::yield();
    }
    ASSERT_EQ(result, RingResult::kOk);
    const auto expected = packet_of(8 + i * 37 % 3000, i);
    if (length != expected.size() || std::memcmp(got.data(), expected.data(), length) != 0) ++wrong;
    if (i % 16 == 0) ring.reader.release_room();
  }
  producer.join();
  EXPECT_EQ(wrong, 0u);
}

// The full-ring handshake: a producer that only goes on when told must never be forgotten.
TEST(Ring, NoWakeUpIsLostBetweenFullAndRoom) {
  Ring ring;
  constexpr uint32_t kPackets = 20000;
  std::atomic<uint32_t> told{0};
  std::thread producer([&] {
    std::vector<uint8_t> packet(3000);
    for (uint32_t i = 0; i < kPackets; ++i) {
      while (ring.writer.write(packet.data(), 3000) != RingResult::kOk) {
        const uint32_t seen = told.load();
        ring.writer.wait_for_room();
        if (ring.writer.write(packet.data(), 3000) == RingResult::kOk) {
          ring.writer.stop_waiting();
          break;
        }
        while (told.load() == seen) std::this_thread::yield();
      }
    }
  });
  std::vector<uint8_t> got(kPacketBytesMax);
  uint32_t length;
  for (uint32_t i = 0; i < kPackets;) {
    if (ring.reader.read(got.data(), kPacketBytesMax, &length) == RingResult::kOk) ++i;
    if (ring.reader.release_room()) told.fetch_add(1);
    if (!ring.reader.ready()) std::this_thread::yield();
  }
  producer.join();
  SUCCEED();
}

}  // namespace
}  // namespace eagleray
