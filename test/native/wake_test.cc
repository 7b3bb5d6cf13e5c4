// SPDX-License-Identifier: Apache-2.0
#include "wake.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <thread>

#include "channel_fixture.h"
#include "full_fence.h"

namespace eagleray {
namespace {

class WakeTest : public ChannelTest {
 protected:
  static bool rang(const Bell& bell, int timeout_ms = 0) {
    pollfd entry{bell.fd(), POLLIN, 0};
    return poll(&entry, 1, timeout_ms) == 1;
  }
};

TEST_F(WakeTest, RingsOnlyWhoSleepsAndOnce) {
  Bell bell;
  ASSERT_TRUE(bell.open(directory_, 3).ok());
  Bells bells(region(), directory_);
  bells.wake(3);
  EXPECT_FALSE(rang(bell));
  region().mailbox(3).sleeping.store(1);
  bells.wake(3);
  bells.wake(3);
  EXPECT_TRUE(rang(bell));
  EXPECT_EQ(region().mailbox(3).sleeping.load(), 0u);
  char bytes[8];
  EXPECT_EQ(read(bell.fd(), bytes, sizeof bytes), 1);
  EXPECT_FALSE(rang(bell));
}

TEST_F(WakeTest, TheFifoIsForTheOwnerAlone) {
  Bell bell;
  ASSERT_TRUE(bell.open(directory_, 3).ok());
  struct stat info {};
  ASSERT_EQ(stat(bell_path(directory_, 3).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(WakeTest, SomethingElseUnderTheNameIsAnError) {
  close(open(bell_path(directory_, 1).c_str(), O_CREAT | O_WRONLY, 0600));
  Bell bell;
  EXPECT_EQ(bell.open(directory_, 1).code(), Code::kStoreCorrupt);
  ASSERT_EQ(symlink("/dev/null", bell_path(directory_, 2).c_str()), 0);
  EXPECT_EQ(bell.open(directory_, 2).code(), Code::kSystem);
}

TEST_F(WakeTest, NobodyThereIsNoError) {
  Bells bells(region(), directory_);
  region().mailbox(4).sleeping.store(1);
  bells.wake(4);  // never was there
  { Bell bell; ASSERT_TRUE(bell.open(directory_, 5).ok()); }
  region().mailbox(5).sleeping.store(1);
  bells.wake(5);  // went away
}

TEST_F(WakeTest, ASuccessorInTheSlotIsFound) {
  Bells bells(region(), directory_);
  for (int life = 0; life < 3; ++life) {
    Bell bell;
    ASSERT_TRUE(bell.open(directory_, 6).ok());
    region().mailbox(6).sleeping.store(1);
    bells.wake(6);
    EXPECT_TRUE(rang(bell));
    if (life == 1) unlink(bell_path(directory_, 6).c_str());  // the next life has another inode
  }
}

TEST_F(WakeTest, ManyRingsDoNotBlockAndDrainTakesAll) {
  Bell bell;
  ASSERT_TRUE(bell.open(directory_, 7).ok());
  Bells bells(region(), directory_);
  for (int i = 0; i < 70000; ++i) {
    region().mailbox(7).sleeping.store(1);
    bells.wake(7);
  }
  EXPECT_TRUE(rang(bell));
  bell.drain();
  EXPECT_FALSE(rang(bell));
}

// The protocol itself: a publisher and a sleeper, who blocks for good if a wake-up is lost.
TEST_F(WakeTest, NoWakeUpIsLost) {
  Bell bell;
  ASSERT_TRUE(bell.open(directory_, 1).ok());
  Bells bells(region(), directory_);
  constexpr uint32_t kRounds = 20000;
  std::atomic<uint32_t> published{0};
  std::atomic<uint32_t> taken{0};
  std::thread publisher([&] {
    for (uint32_t i = 1; i <= kRounds; ++i) {
      published.store(i, std::memory_order_release);
      bells.wake(1);
      while (i % 3 == 0 && taken.load(std::memory_order_acquire) < i) std::this_thread::yield();
    }
  });
  Mailbox& mailbox = region().mailbox(1);
  bool lost = false;
  while (taken.load() < kRounds && !lost) {
    taken.store(published.load(std::memory_order_acquire), std::memory_order_release);
    mailbox.sleeping.store(1, std::memory_order_relaxed);
    full_fence();
    if (published.load(std::memory_order_acquire) == taken.load() && taken.load() < kRounds) {
      lost = !rang(bell, 10000);
      bell.drain();
    }
    mailbox.sleeping.store(0, std::memory_order_relaxed);
  }
  EXPECT_FALSE(lost);
  publisher.join();
}

}  // namespace
}  // namespace eagleray
