// SPDX-License-Identifier: Apache-2.0
// A store in a directory of its own, processes that use it, and the ways to end them.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "store.h"

namespace eagleray {

// The n-th id of an owner.
inline ObjectId id_of(uint64_t n, uint8_t owner = 1) {
  ObjectId id{};
  id[0] = owner;
  for (int i = 0; i < 8; i++) id[12 + static_cast<size_t>(i)] = static_cast<uint8_t>(n >> (56 - 8 * i));
  return id;
}

// Not inlined: where the compiler sees a constant size of 0 it warns of the loop that does not run.
[[gnu::noinline]] inline std::vector<uint8_t> pattern(uint64_t size, uint64_t seed) {
  std::vector<uint8_t> bytes(size);
  for (uint64_t i = 0; i < size; i++) bytes[i] = static_cast<uint8_t>((seed * 131 + i * 7 + (i >> 8)) & 0xff);
  return bytes;
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Shared memory where there is some; any directory does.
    std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    name += "/eagleray-test-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  std::string path() const { return root_ + "/store"; }

  Store make(uint64_t capacity = 16 << 20, uint32_t table = 0) {
    Result<std::shared_ptr<Client>> client = Client::create(path(), {capacity, table, NodeId{1, 2, 3, 4, 5}}, false);
    EXPECT_TRUE(client.ok()) << client.status().describe();
    return Store(client.value());
  }

  Store attach() {
    Result<std::shared_ptr<Client>> client = Client::attach(path());
    EXPECT_TRUE(client.ok()) << client.status().describe();
    return Store(client.value());
  }

  // Runs `body` in a process of its own, which ends with the int that it returns.
  template <typename Body>
  static pid_t in_child(Body body) {
    const pid_t pid = fork();
    if (pid == 0) _exit(body());
    return pid;
  }

  // How it ended: its exit code, or minus the signal.
  static int wait_for(pid_t pid) {
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  static void expect_sound(Store& store) {
    const Result<std::optional<std::string>> wrong = store.check();
    ASSERT_TRUE(wrong.ok()) << wrong.status().describe();
    ASSERT_FALSE(wrong.value().has_value()) << *wrong.value();
  }

  // Nothing in use and the whole heap in one piece but for chunks kept for small objects.
  static void expect_empty(Store& store) {
    expect_sound(store);
    const StoreStats stats = store.stats().value();
    EXPECT_EQ(stats.objects, 0u);
    EXPECT_EQ(stats.used_bytes, 0u);
    EXPECT_EQ(stats.pins, 0u);
  }

  std::string root_;
};

}  // namespace eagleray
