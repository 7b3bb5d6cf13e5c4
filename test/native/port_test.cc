// SPDX-License-Identifier: Apache-2.0
#include "port.h"

#include <poll.h>

#include <cstring>
#include <random>
#include <thread>

#include "channel_fixture.h"

namespace eagleray {
namespace {

using Kind = PortEvent::Kind;

// A port with its own bells, as each process has them.
struct End {
  End(ChannelRegion region, const std::string& directory, ChannelHost& host, Peer self, uint32_t inbox_bytes = 512 * 1024, uint32_t packets = 1024)
      : bells(region, directory), port(region, bells, host, self), inbox(inbox_bytes), index(packets * 3) {
    EXPECT_TRUE(port.open(directory).ok());
  }
  uint32_t drain() {
    port.look();
    tell();
    count = port.drain(inbox.data(), static_cast<uint32_t>(inbox.size()), index.data(), static_cast<uint32_t>(index.size()));
    tell();
    return count;
  }
  void tell() {
    PortEvent event;
    while (port.next_event(&event)) {
      events.push_back(event);
      if (event.kind != Kind::kOpened && event.kind != Kind::kWritable) port.disconnect(event.channel);
    }
  }
  std::string packet(uint32_t i) const { return {reinterpret_cast<const char*>(inbox.data()) + index[3 * i + 1], static_cast<size_t>(index[3 * i + 2])}; }
  bool saw(Kind kind, uint32_t channel) const {
    for (const PortEvent& each : events) {
      if (each.kind == kind && each.channel == channel) return true;
    }
    return false;
  }
  // Blocks as an event loop would. False when nobody rang within ten seconds.
  bool sleep() {
    if (!port.prepare_sleep()) return true;
    pollfd entry{port.bell().fd(), POLLIN, 0};
    const bool rang = poll(&entry, 1, 10000) == 1;
    port.awake();
    port.bell().drain();
    return rang;
  }

  Bells bells;
  Port port;
  std::vector<std::byte> inbox;
  std::vector<int32_t> index;
  std::vector<PortEvent> events;
  uint32_t count = 0;
};

class PortTest : public ChannelTest {
 protected:
  Port::Sent send(End& end, uint32_t channel, const std::string& text) {
    return end.port.send(channel, text.data(), static_cast<uint32_t>(text.size()));
  }
};

TEST_F(PortTest, PacketsArriveInOrderAfterTheOpening) {
  End a(region(), directory_, host_, peer(1));
  End b(region(), directory_, host_, peer(2));
  const uint32_t channel = a.port.connect(peer(2)).value();
  ASSERT_EQ(send(a, channel, "one"), Port::Sent::kSent);
  ASSERT_EQ(send(a, channel, ""), Port::Sent::kSent);
  ASSERT_EQ(send(a, channel, "three"), Port::Sent::kSent);
  EXPECT_TRUE(b.port.pending());
  ASSERT_EQ(b.drain(), 3u);
  ASSERT_EQ(b.events.size(), 1u);
  EXPECT_EQ(b.events[0].kind, Kind::kOpened);
  EXPECT_EQ(b.events[0].peer_slot, 1u);
  EXPECT_EQ(b.index[0], static_cast<int32_t>(channel));
  EXPECT_EQ(b.packet(0), "one");
  EXPECT_EQ(b.packet(1), "");
  EXPECT_EQ(b.packet(2), "three");
  EXPECT_EQ(b.index[3 * 2 + 1] % 8, 0);
  ASSERT_EQ(send(b, channel, "back"), Port::Sent::kSent);
  ASSERT_EQ(a.drain(), 1u);
  EXPECT_EQ(a.packet(0), "back");
  EXPECT_FALSE(a.port.pending() || b.port.pending());
}

TEST_F(PortTest, WhatWasSentBeforeThePortOpenedIsThere) {
  End a(region(), directory_, host_, peer(1));
  const uint32_t channel = a.port.connect(peer(2)).value();
  send(a, channel, "early");
  End b(region(), directory_, host_, peer(2));
  EXPECT_TRUE(b.port.pending());
  EXPECT_EQ(b.drain(), 1u);
  EXPECT_TRUE(b.saw(Kind::kOpened, channel));
}

TEST_F(PortTest, ClosingIsToldAfterTheLastPacket) {
  End a(region(), directory_, host_, peer(1));
  End b(region(), directory_, host_, peer(2), kPacketBytesMax, 1);
  const uint32_t channel = a.port.connect(peer(2)).value();
  send(a, channel, "x");
  send(a, channel, "y");
  EXPECT_TRUE(a.port.disconnect(channel));
  EXPECT_FALSE(a.port.disconnect(channel));
  EXPECT_EQ(send(a, channel, "z"), Port::Sent::kUnknown);
  EXPECT_EQ(b.drain(), 1u);
  EXPECT_FALSE(b.saw(Kind::kClosed, channel));
  EXPECT_EQ(send(b, channel, "into the void"), Port::Sent::kSent);
  EXPECT_TRUE(b.port.pending());
  EXPECT_EQ(b.drain(), 1u);
  EXPECT_EQ(b.packet(0), "y");
  EXPECT_TRUE(b.saw(Kind::kClosed, channel));
  EXPECT_EQ(b.drain(), 0u);
  EXPECT_EQ(count_channels(region()), 0u);
}

TEST_F(PortTest, AReapedPeerDied) {
  End a(region(), directory_, host_, peer(1));
  const uint32_t channel = a.port.connect(peer(2)).value();
  ASSERT_TRUE(close_channels_of(region(), a.bells, peer(2), true).ok());
  EXPECT_TRUE(a.port.pending());
  EXPECT_EQ(a.drain(), 0u);
  EXPECT_TRUE(a.saw(Kind::kDied, channel));
  EXPECT_EQ(count_channels(region()), 0u);
}

TEST_F(PortTest, FullThenWritable) {
  End a(region(), directory_, host_, peer(1));
  End b(region(), directory_, host_, peer(2));
  const uint32_t channel = a.port.connect(peer(2)).value();
  const std::string packet(10000, 'p');
  uint32_t sent = 0;
  while (send(a, channel, packet) == Port::Sent::kSent) ++sent;
  EXPECT_EQ(sent, kRingBytes / packet_span(10000));
  EXPECT_EQ(send(a, channel, packet), Port::Sent::kFull);
  EXPECT_EQ(a.drain(), 0u);
  EXPECT_FALSE(a.saw(Kind::kWritable, channel));
  EXPECT_EQ(b.drain(), sent);
  EXPECT_TRUE(a.port.pending());
  a.drain();
  EXPECT_TRUE(a.saw(Kind::kWritable, channel));
  EXPECT_EQ(send(a, channel, packet), Port::Sent::kSent);
  EXPECT_EQ(send(a, channel, std::string(kPacketBytesMax + 1, 'x')), Port::Sent::kTooLong);
}

TEST_F(PortTest, OneWhoNeverStopsDoesNotStarveTheOthers) {
  End b(region(), directory_, host_, peer(0), kPacketBytesMax, 8);
  End loud(region(), directory_, host_, peer(1));
  End quiet(region(), directory_, host_, peer(2));
  const uint32_t noise = loud.port.connect(peer(0)).value();
  const uint32_t whisper = quiet.port.connect(peer(0)).value();
  for (int i = 0; i < 100; ++i) send(loud, noise, "noise");
  send(quiet, whisper, "psst");
  bool heard = false;
  for (int turn = 0; turn < 2; ++turn) {
    b.drain();
    for (uint32_t i = 0; i < b.count; ++i) heard |= b.index[3 * i] == static_cast<int32_t>(whisper);
  }
  EXPECT_TRUE(heard);
}

TEST_F(PortTest, GarbageEndsThatChannelAlone) {
  std::mt19937_64 random(3);
  End a(region(), directory_, host_, peer(1));
  for (int round = 0; round < 200; ++round) {
    End bad(region(), directory_, host_, peer(2));
    End good(region(), directory_, host_, peer(3));
    const uint32_t spoilt = bad.port.connect(peer(1)).value();
    const uint32_t sound = good.port.connect(peer(1)).value();
    ChannelBody& body = region().body(spoilt);
    for (uint64_t i = 0; i < kRingBytes / 8; i += 1 + random() % 64) reinterpret_cast<uint64_t*>(body.bytes[0])[i] = random();
    body.ring[0].tail.store(round % 2 == 0 ? random() : 8 * (1 + random() % 1000));
    body.ring[0].head.store(random());
    send(good, sound, "still here");
    EXPECT_EQ(a.drain(), 1u);
    EXPECT_TRUE(a.saw(Kind::kCorrupt, spoilt));
    bad.drain();
    EXPECT_TRUE(bad.saw(Kind::kClosed, spoilt));
    good.port.close();
    a.drain();
    a.events.clear();
    ASSERT_EQ(count_channels(region()), 0u);
  }
}

TEST_F(PortTest, ClaimWordsAreSharedCrosswise) {
  End a(region(), directory_, host_, peer(1));
  End b(region(), directory_, host_, peer(2));
  const uint32_t channel = a.port.connect(peer(2)).value();
  b.drain();
  std::atomic<int32_t>*mine, *theirs, *mine_b, *theirs_b;
  ASSERT_TRUE(a.port.claims(channel, &mine, &theirs));
  ASSERT_TRUE(b.port.claims(channel, &mine_b, &theirs_b));
  EXPECT_EQ(mine, theirs_b);
  EXPECT_EQ(theirs, mine_b);
  EXPECT_FALSE(a.port.claims(99, &mine, &theirs));
}

TEST_F(PortTest, SealedIsToldOnce) {
  End a(region(), directory_, host_, peer(1));
  a.drain();
  EXPECT_FALSE(a.port.take_sealed());
  Bells(region(), directory_).wake_sealed(1);
  EXPECT_TRUE(a.port.pending());
  EXPECT_TRUE(a.port.take_sealed());
  EXPECT_FALSE(a.port.take_sealed() || a.port.pending());
}

TEST_F(PortTest, PingPongBetweenProcessesThatSleep) {
  constexpr uint32_t kRounds = 3000;
  const pid_t child = in_child([&]() -> int {
    End b(region(), directory_, host_, peer(2));
    for (uint32_t done = 0; done < kRounds;) {
      const uint32_t count = b.drain();
      for (uint32_t i = 0; i < count; ++i, ++done) {
        const std::string packet = b.packet(i);
        b.port.send(static_cast<uint32_t>(b.index[3 * i]), packet.data(), static_cast<uint32_t>(packet.size()));
      }
      if (done < kRounds && !b.sleep()) return 1;
    }
    while (!b.saw(Kind::kClosed, 0)) {
      b.drain();
      if (!b.saw(Kind::kClosed, 0) && !b.sleep()) return 2;
    }
    return 0;
  });
  End a(region(), directory_, host_, peer(1));
  const uint32_t channel = a.port.connect(peer(2)).value();
  bool lost = false;
  for (uint32_t i = 0; i < kRounds && !lost; ++i) {
    const std::string packet = "packet " + std::to_string(i);
    ASSERT_EQ(send(a, channel, packet), Port::Sent::kSent);
    while (a.drain() == 0 && !lost) lost = !a.sleep();
    if (!lost) {
      ASSERT_EQ(a.packet(0), packet);
    }
  }
  EXPECT_FALSE(lost);
  a.port.close();
  EXPECT_EQ(exit_code(child), 0);
}

TEST_F(PortTest, AFloodThroughAFullRingLosesNothing) {
  constexpr uint32_t kPackets = 30000;
  const pid_t child = in_child([&]() -> int {
    End b(region(), directory_, host_, peer(2), kPacketBytesMax, 64);
    for (uint32_t next = 0; next < kPackets;) {
      const uint32_t count = b.drain();
      for (uint32_t i = 0; i < count; ++i, ++next) {
        if (b.packet(i) != std::string(next % 5000, static_cast<char>('a' + next % 26))) return 1;
      }
      if (count == 0 && next < kPackets && !b.sleep()) return 2;
    }
    return 0;
  });
  End a(region(), directory_, host_, peer(1));
  const uint32_t channel = a.port.connect(peer(2)).value();
  bool lost = false;
  for (uint32_t i = 0; i < kPackets && !lost; ++i) {
    const std::string packet(i % 5000, static_cast<char>('a' + i % 26));
    while (send(a, channel, packet) == Port::Sent::kFull && !lost) {
      a.events.clear();
      do {
        lost = !a.sleep();
        a.drain();
      } while (!lost && !a.saw(Kind::kWritable, channel));
    }
  }
  EXPECT_FALSE(lost);
  EXPECT_EQ(exit_code(child), 0);
}

TEST_F(PortTest, APeerKilledInTheMiddleOfTrafficHarmsNobody) {
  for (int round = 0; round < 15; ++round) {
    End a(region(), directory_, host_, peer(1));
    const pid_t child = in_child([&]() -> int {
      End b(region(), directory_, host_, Peer{2, 5});
      const uint32_t channel = b.port.connect(peer(1)).value();
      const std::string packet(3000, 'k');
      for (;;) {
        b.port.send(channel, packet.data(), static_cast<uint32_t>(packet.size()));
        b.drain();
      }
    });
    uint32_t received = 0;
    while (received < 100u + static_cast<uint32_t>(round) * 13) {
      if (a.drain() == 0) std::this_thread::yield();
      for (uint32_t i = 0; i < a.count; ++i) ASSERT_EQ(a.packet(i), std::string(3000, 'k'));
      received += a.count;
    }
    kill(child, SIGKILL);
    ASSERT_EQ(exit_code(child), 128 + SIGKILL);
    ASSERT_TRUE(close_channels_of(region(), a.bells, Peer{2, 5}, true).ok());
    while (a.port.channels() > 0) {
      a.drain();
      for (uint32_t i = 0; i < a.count; ++i) ASSERT_EQ(a.packet(i), std::string(3000, 'k'));
    }
    EXPECT_EQ(a.events.back().kind, Kind::kDied);
    ASSERT_EQ(check_channels(region()), "");
    ASSERT_EQ(count_channels(region()), 0u);
  }
}

}  // namespace
}  // namespace eagleray
