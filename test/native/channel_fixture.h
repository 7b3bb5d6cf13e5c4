// SPDX-License-Identifier: Apache-2.0
// A channel region in anonymous shared memory, with processes that are only names, for tests of channels without a store.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>

#include "channel.h"
#include "port.h"

namespace eagleray {

class FakeHost final : public ChannelHost {
 public:
  bool is_live(const Peer& peer) override { return !dead.contains(peer.slot); }
  Status reserve(uint64_t offset, uint64_t bytes) override {
    if (offset + bytes > kChannelRegionBytes) return Status(Code::kInvalidArgument, "outside");
    if (full) return Status(Code::kStoreSpace, "full");
    ++reserved;
    return Status();
  }
  std::set<uint32_t> dead;
  bool full = false;
  int reserved = 0;
};

class ChannelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    void* base = mmap(nullptr, kChannelRegionBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(base, MAP_FAILED);
    base_ = static_cast<std::byte*>(base);
    ASSERT_TRUE(init_channel_region(region()).ok());
    char name[] = "/tmp/eagleray-channels-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override {
    munmap(base_, kChannelRegionBytes);
    std::filesystem::remove_all(directory_);
  }

  ChannelRegion region() const { return ChannelRegion(base_); }
  static Peer peer(uint32_t slot) { return Peer{slot, 1000 + slot}; }

  // Runs `body` in a child process and gives its pid; the child exits with what `body` returns.
  template <typename Body>
  static pid_t in_child(Body body) {
    const pid_t pid = fork();
    if (pid == 0) _exit(body());
    return pid;
  }
  static int exit_code(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  std::byte* base_ = nullptr;
  std::string directory_;
  FakeHost host_;
};

}  // namespace eagleray
