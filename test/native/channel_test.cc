// SPDX-License-Identifier: Apache-2.0
#include "channel.h"

#include <thread>

#include "channel_fixture.h"
#include "spinners.h"

namespace eagleray {
namespace {

TEST_F(ChannelTest, PeerIsSlotAndNonceOfTheWorkerId) {
  WorkerId id{1, 2, 3, 4, 5, 1, 0x23, 9, 8, 7, 6, 5};
  EXPECT_EQ(peer_of(id).slot, 0x123u);
  EXPECT_EQ(peer_of(id).nonce, 0x0908070605u);
}

TEST_F(ChannelTest, BothSidesGetTheSameChannel) {
  Bells bells(region(), directory_);
  const auto first = open_channel(region(), bells, host_, peer(1), peer(2));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first.value().side, 0);
  const auto again = open_channel(region(), bells, host_, peer(1), peer(2));
  const auto back = open_channel(region(), bells, host_, peer(2), peer(1));
  EXPECT_EQ(again.value().channel, first.value().channel);
  EXPECT_EQ(back.value().channel, first.value().channel);
  EXPECT_EQ(back.value().side, 1);
  EXPECT_NE(open_channel(region(), bells, host_, peer(1), peer(3)).value().channel, first.value().channel);
  EXPECT_EQ(count_channels(region()), 2u);
  EXPECT_EQ(check_channels(region()), "");
}

TEST_F(ChannelTest, RefusesOneselfTheDeadAndAFullDisk) {
  Bells bells(region(), directory_);
  EXPECT_EQ(open_channel(region(), bells, host_, peer(1), peer(1)).code(), Code::kInvalidArgument);
  EXPECT_EQ(open_channel(region(), bells, host_, peer(1), Peer{kMailboxes, 1}).code(), Code::kInvalidArgument);
  host_.dead.insert(2);
  EXPECT_EQ(open_channel(region(), bells, host_, peer(1), peer(2)).code(), Code::kPeerGone);
  host_.full = true;
  EXPECT_EQ(open_channel(region(), bells, host_, peer(1), peer(3)).code(), Code::kStoreSpace);
  EXPECT_EQ(count_channels(region()), 0u);
  EXPECT_EQ(check_channels(region()), "");
}

TEST_F(ChannelTest, IsFreeWhenBothHaveLeftAndItsMemoryIsKept) {
  Bells bells(region(), directory_);
  for (int round = 0; round < 5; ++round) {
    const auto opened = open_channel(region(), bells, host_, peer(1), peer(2));
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(opened.value().channel, 0u);
    region().body(0).ring[0].tail.store(77);
    leave_channel(region(), bells, 0, 0);
    EXPECT_EQ(count_channels(region()), 1u);
    leave_channel(region(), bells, 0, 1);
    EXPECT_EQ(count_channels(region()), 0u);
  }
  EXPECT_EQ(host_.reserved, 1);
  ASSERT_TRUE(open_channel(region(), bells, host_, peer(1), peer(2)).ok());
  EXPECT_EQ(region().body(0).ring[0].tail.load(), 0u);
}

TEST_F(ChannelTest, AChannelThatOneSideLeftIsNotGivenAgain) {
  Bells bells(region(), directory_);
  const auto first = open_channel(region(), bells, host_, peer(1), peer(2));
  leave_channel(region(), bells, first.value().channel, 1);
  const auto second = open_channel(region(), bells, host_, peer(1), peer(2));
  EXPECT_NE(second.value().channel, first.value().channel);
}

TEST_F(ChannelTest, AllInUseIsAnError) {
  Bells bells(region(), directory_);
  uint32_t opened = 0;
  for (uint32_t a = 0; a < 70 && opened < kMaxChannels; ++a) {
    for (uint32_t b = a + 1; b < 70 && opened < kMaxChannels; ++b, ++opened) {
      ASSERT_TRUE(open_channel(region(), bells, host_, peer(a), peer(b)).ok());
    }
  }
  EXPECT_EQ(count_channels(region()), kMaxChannels);
  EXPECT_EQ(open_channel(region(), bells, host_, peer(100), peer(101)).code(), Code::kTooManyChannels);
  ASSERT_TRUE(close_channels_of(region(), bells, peer(0), true).ok());
  EXPECT_EQ(open_channel(region(), bells, host_, peer(100), peer(101)).code(), Code::kTooManyChannels);
  ASSERT_TRUE(close_channels_of(region(), bells, peer(1), true).ok());
  EXPECT_TRUE(open_channel(region(), bells, host_, peer(100), peer(101)).ok());
}

TEST_F(ChannelTest, ReapingLeavesForTheDeadAndNobodyElse) {
  Bells bells(region(), directory_);
  const uint32_t dead = open_channel(region(), bells, host_, peer(1), peer(2)).value().channel;
  const uint32_t other = open_channel(region(), bells, host_, peer(1), peer(3)).value().channel;
  const uint32_t successor = open_channel(region(), bells, host_, peer(1), Peer{2, 9}).value().channel;
  ASSERT_TRUE(begin_spin(region(), 2, 4));
  for (int twice = 0; twice < 2; ++twice) {
    ASSERT_TRUE(close_channels_of(region(), bells, peer(2), true).ok());
    EXPECT_EQ(region().record(dead).state.load() & 0xff, channel_state::kOpen | channel_state::kLeft1 | channel_state::kDied1);
    EXPECT_EQ(region().record(other).state.load() & 0xff, channel_state::kOpen);
    EXPECT_EQ(region().record(successor).state.load() & 0xff, channel_state::kOpen);
    EXPECT_EQ(region().header().spinning[0].load(), 0u);
  }
  EXPECT_NE(region().mailbox(1).attention[0].load() & (1u << dead), 0u);
}

TEST_F(ChannelTest, AHolderOfTheLockThatDiesHalfWayIsRepaired) {
  const pid_t child = in_child([&]() -> int {
    pthread_mutex_lock(&region().header().lock);
    region().record(0).state.store(5 * channel_state::kGeneration | channel_state::kOpening);
    raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(exit_code(child), 128 + SIGKILL);
  Bells bells(region(), directory_);
  const auto opened = open_channel(region(), bells, host_, peer(1), peer(2));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened.value().channel, 0u);
  EXPECT_EQ(region().record(0).state.load(), 6 * channel_state::kGeneration | channel_state::kOpen);
  EXPECT_EQ(check_channels(region()), "");
}

TEST_F(ChannelTest, KilledWhileOpeningAndLeavingLeavesAWholeTable) {
  for (int round = 0; round < 40; ++round) {
    const pid_t child = in_child([&]() -> int {
      Bells bells(region(), directory_);
      for (;;) {
        const auto opened = open_channel(region(), bells, host_, peer(7), peer(8));
        if (!opened.ok()) return 1;
        leave_channel(region(), bells, opened.value().channel, 0);
        leave_channel(region(), bells, opened.value().channel, 1);
      }
    });
    const uint64_t rounds_seen = region().record(0).state.load() / channel_state::kGeneration + 3 + static_cast<uint64_t>(round);
    while (region().record(0).state.load() / channel_state::kGeneration < rounds_seen) std::this_thread::yield();
    kill(child, SIGKILL);
    ASSERT_EQ(exit_code(child), 128 + SIGKILL);
    Bells bells(region(), directory_);
    ASSERT_TRUE(close_channels_of(region(), bells, peer(7), true).ok());
    ASSERT_TRUE(close_channels_of(region(), bells, peer(8), true).ok());
    ASSERT_EQ(check_channels(region()), "");
    ASSERT_EQ(count_channels(region()), 0u);
  }
}

TEST_F(ChannelTest, ManyThreadsOpeningAtOnceAgreeOnOneChannelAPair) {
  std::vector<std::thread> threads;
  std::atomic<uint32_t> distinct{0};
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Bells bells(region(), directory_);
      const Peer self = peer(t % 2);
      const Peer other = peer(1 - t % 2);
      for (int i = 0; i < 500; ++i) {
        const auto opened = open_channel(region(), bells, host_, self, other);
        if (!opened.ok() || opened.value().channel != 0) distinct.fetch_add(1);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(distinct.load(), 0u);
  EXPECT_EQ(count_channels(region()), 1u);
}

TEST_F(ChannelTest, SpinnersShareABudget) {
  EXPECT_GE(usable_cores(), 1);
  EXPECT_TRUE(begin_spin(region(), 1, 2));
  EXPECT_TRUE(begin_spin(region(), 500, 2));
  EXPECT_TRUE(begin_spin(region(), 1, 2));
  EXPECT_FALSE(begin_spin(region(), 3, 2));
  end_spin(region(), 1);
  end_spin(region(), 1);
  EXPECT_TRUE(begin_spin(region(), 3, 2));
  EXPECT_FALSE(begin_spin(region(), 1, 2));
}

}  // namespace
}  // namespace eagleray
