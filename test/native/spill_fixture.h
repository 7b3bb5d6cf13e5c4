// SPDX-License-Identifier: Apache-2.0
// A store that takes objects to a directory beside it.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "segment_lock.h"
#include "spill.h"
#include "spill_files.h"
#include "store_fixture.h"

namespace eagleray {

inline constexpr uint64_t kHeap = 4 << 20;

class SpillTest : public StoreTest {
 protected:
  std::string disk() const { return root_ + "/disk"; }

  Store make_spilling(uint64_t capacity = kHeap, uint64_t quota = ~0ull) {
    std::filesystem::create_directory(disk());
    SegmentOptions options;
    options.capacity_bytes = capacity;
    options.table_capacity = 4096;
    options.spill_directory = disk();
    options.spill_quota_bytes = quota;
    Result<std::shared_ptr<Client>> client = Client::create(path(), options, false);
    EXPECT_TRUE(client.ok()) << client.status().describe();
    return Store(client.value());
  }

  static Status put(Store& store, uint64_t n, uint64_t size, uint8_t owner = 1) {
    return store.put(id_of(n, owner), pattern(size, n + owner).data(), size);
  }

  static void expect_content(Store& store, uint64_t n, uint64_t size, uint8_t owner = 1) {
    const Result<View> view = store.view(id_of(n, owner));
    ASSERT_TRUE(view.ok()) << n << " " << view.status().describe();
    ASSERT_EQ(view.value().size, size);
    EXPECT_TRUE(size == 0 || std::memcmp(view.value().data, pattern(size, n + owner).data(), size) == 0) << n;
    store.release(view.value());
  }

  size_t files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(disk())) count++;
    return count;
  }

  // Runs `meanwhile` while a thread of this process has claimed objects, to take `bytes` out, and has written none: a lease on the file
  // holds its open() up. The first file of the store, which is not there yet. Gives what came of it.
  template <typename Body>
  Status while_spilling(Store& store, uint64_t bytes, Body meanwhile) {
    (void)signal(SIGIO, SIG_IGN);  // how the kernel tells of the open()
    const std::string file = disk() + "/0";
    std::ofstream(file).close();
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(fcntl(fd, F_SETLEASE, F_RDLCK), 0);
    Status outcome;
    std::thread spilling([&] { outcome = spill_objects(store, bytes).status(); });
    while (fcntl(fd, F_GETLEASE) == F_RDLCK) std::this_thread::yield();
    meanwhile();
    EXPECT_EQ(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
    spilling.join();
    close(fd);
    return outcome;
  }

  // Nothing in memory or on disk, once the dead files are gone.
  void expect_nothing(Store& store) {
    expect_empty(store);
    Client& client = *store.client();
    {
      SegmentLock lock(client.segment(), client.slot(), client.generation());
      SpillFiles(client.segment()).close_of(client.slot(), client.generation());
    }
    reclaim_disk(client.segment(), client.slot(), client.generation(), false);
    EXPECT_EQ(store.stats().value().disk_bytes, 0u);
    EXPECT_EQ(files(), 0u);
    expect_sound(store);
  }
};

}  // namespace eagleray
