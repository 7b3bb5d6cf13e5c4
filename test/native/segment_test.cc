// SPDX-License-Identifier: Apache-2.0
// The segment's file: how it is made, and that anything else in its place is an error.
#include "segment.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <random>

#include "process.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

class SegmentTest : public StoreTest {
 protected:
  std::string file() const { return path() + "/segment"; }

  void make_segment(uint64_t capacity = 1 << 20) {
    const Result<std::unique_ptr<Segment>> segment = Segment::create(path(), {capacity, 1024, NodeId{9, 8, 7, 6, 5}});
    ASSERT_TRUE(segment.ok()) << segment.status().describe();
  }

  void overwrite(uint64_t offset, const void* bytes, size_t count) {
    const int fd = ::open(file().c_str(), O_WRONLY);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(pwrite(fd, bytes, count, static_cast<off_t>(offset)), static_cast<ssize_t>(count));
    close(fd);
  }

  Code open_code() { return Segment::open(path()).code(); }
};

TEST_F(SegmentTest, OnlyItsUserMayLook) {
  make_segment();
  struct stat info;
  ASSERT_EQ(stat(path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  ASSERT_EQ(stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const Result<std::unique_ptr<Segment>> segment = Segment::open(path());
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ(segment.value()->header().node_id[0], 9);
  EXPECT_EQ(segment.value()->layout().heap_bytes, 1u << 20);
}

TEST_F(SegmentTest, SectionsDoNotOverlap) {
  for (const uint64_t heap : {uint64_t{kMinHeapBytes}, uint64_t{1} << 30, uint64_t{3} << 40}) {
    const Layout layout = compute_layout(heap, default_table_capacity(heap));
    const uint64_t starts[] = {sizeof(SegmentHeader), layout.clients,  layout.waiters, layout.allocator, layout.table, layout.buckets,
                               layout.entries,        layout.blocks,   layout.channels, layout.heap,     layout.file_bytes};
    for (size_t i = 1; i < std::size(starts); i++) {
      EXPECT_EQ(starts[i] % kPage, 0u);
      EXPECT_GE(starts[i], starts[i - 1]);
    }
    EXPECT_EQ(layout.file_bytes - layout.heap, heap);
  }
  EXPECT_EQ(compute_layout(12345, 1024).file_bytes, 0u);
  EXPECT_EQ(compute_layout(1 << 20, 1000).file_bytes, 0u);
}

TEST_F(SegmentTest, WrongCapacitiesAreRefusedAndLeaveNothing) {
  for (const uint64_t capacity : {0ull, 100ull, 1ull << 50, ~0ull}) {
    EXPECT_EQ(Segment::create(path(), {capacity, 0, NodeId{}}).code(), Code::kInvalidArgument);
    EXPECT_FALSE(std::filesystem::exists(path()));
  }
}

TEST_F(SegmentTest, MoreThanTheFileSystemHasIsRefusedAtOnce) {
  const Result<std::unique_ptr<Segment>> segment = Segment::create(path(), {1ull << 45, 0, NodeId{}});
  EXPECT_EQ(segment.code(), Code::kStoreSpace);
  EXPECT_NE(segment.status().message().find("does not fit"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SegmentTest, ADirectoryThatExistsIsNotTaken) {
  std::filesystem::create_directory(path());
  std::ofstream(path() + "/mine") << "precious";
  EXPECT_EQ(Segment::create(path(), {1 << 20, 0, NodeId{}}).code(), Code::kSystem);
  EXPECT_TRUE(std::filesystem::exists(path() + "/mine"));
  EXPECT_EQ(Segment::create(root_ + "/no/such/place", {1 << 20, 0, NodeId{}}).code(), Code::kSystem);
}

TEST_F(SegmentTest, WhatIsNoSegmentIsRefused) {
  EXPECT_EQ(open_code(), Code::kSystem);
  std::filesystem::create_directory(path());
  std::ofstream(file()) << "";
  EXPECT_EQ(open_code(), Code::kStoreVersion);
  std::ofstream(file()) << std::string(10'000, 'x');
  EXPECT_EQ(open_code(), Code::kStoreVersion);
  std::filesystem::remove(file());
  std::filesystem::create_symlink("/dev/zero", file());
  EXPECT_EQ(open_code(), Code::kSystem);
}

TEST_F(SegmentTest, OtherVersionsAndTruncatedFilesAreRefused) {
  make_segment();
  const uint32_t version = kLayoutVersion + 1;
  overwrite(offsetof(SegmentHeader, version), &version, sizeof version);
  EXPECT_EQ(open_code(), Code::kStoreVersion);
  overwrite(offsetof(SegmentHeader, version), &kLayoutVersion, sizeof version);
  ASSERT_TRUE(Segment::open(path()).ok());
  const uintmax_t size = std::filesystem::file_size(file());
  for (const uintmax_t shorter : {size - 1, size / 2, uintmax_t{4096}}) {
    std::filesystem::resize_file(file(), shorter);
    EXPECT_EQ(open_code(), Code::kStoreCorrupt) << shorter;
  }
  std::filesystem::resize_file(file(), 4095);
  EXPECT_EQ(open_code(), Code::kStoreVersion);
}

TEST_F(SegmentTest, EveryFlippedBitOfTheConstantsIsFound) {
  make_segment();
  std::vector<uint8_t> header(offsetof(SegmentHeader, checksum) + 8);
  std::ifstream(file(), std::ios::binary).read(reinterpret_cast<char*>(header.data()), static_cast<std::streamsize>(header.size()));
  for (size_t i = 0; i < header.size(); i++) {
    const uint8_t flipped = static_cast<uint8_t>(header[i] ^ (1u << (i % 8)));
    overwrite(i, &flipped, 1);
    const Code code = open_code();
    EXPECT_TRUE(code == Code::kStoreVersion || code == Code::kStoreCorrupt) << i;
    overwrite(i, &header[i], 1);
  }
  EXPECT_EQ(open_code(), Code::kOk);
}

// Bits flipped anywhere in the control sections: every operation gives an answer or an error, and comes back.
TEST_F(SegmentTest, GarbageBehindTheHeaderIsNoCrash) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; round++) {
    std::filesystem::remove_all(path());
    Layout layout{};
    {
      Store store = make(1 << 20, 1024);
      layout = store.client()->segment().layout();
      for (uint64_t n = 0; n < 100; n++) ASSERT_TRUE(store.put(id_of(n), pattern(n * 50, n).data(), n * 50).ok());
    }
    for (int flip = 0; flip < 40; flip++) {
      const uint64_t spans[][2] = {{offsetof(SegmentHeader, lock), 100}, {layout.clients, 256},         {layout.waiters, 65536},
                                   {layout.allocator, 6000},             {layout.table, 64},            {layout.buckets, 8192},
                                   {layout.entries, 100 * 128},          {layout.blocks, 120 * 64}};
      const auto& span = spans[random() % std::size(spans)];
      uint8_t byte = static_cast<uint8_t>(random());
      overwrite(span[0] + random() % span[1], &byte, 1);
    }
    // In a process of its own: what is left of its attachment does not outlive the round.
    const pid_t child = in_child([this, round] {
      Result<std::shared_ptr<Client>> client = Client::attach(path());
      if (!client.ok()) return 0;
      Store store(client.value());
      std::vector<uint8_t> buffer(8192);
      for (uint64_t n = 0; n < 120; n++) {
        (void)store.read(id_of(n), buffer.data(), buffer.size());
        const Result<View> view = store.view(id_of(n));
        if (view.ok()) store.release(view.value());
        if (n % 3 == 0) (void)store.remove(id_of(n));
        (void)store.put(id_of(1000 + n), buffer.data(), n * 30 + static_cast<uint64_t>(round));
      }
      (void)store.list();
      (void)store.stats();
      (void)store.check();
      (void)store.reap_dead();
      return 0;
    });
    ASSERT_EQ(wait_for(child), 0) << "round " << round;
  }
}

TEST(Process, AliveUntilReaped) {
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  const auto pid = static_cast<uint32_t>(child);
  const std::optional<uint64_t> start = process_start_time(pid);
  ASSERT_TRUE(start.has_value());
  EXPECT_TRUE(process_alive(pid, *start));
  EXPECT_TRUE(process_alive(pid, 0));
  EXPECT_FALSE(process_alive(pid, *start + 1));  // the pid of another process by now
  kill(child, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(process_alive(pid, *start));  // a zombie is dead
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(process_alive(pid, 0));
}

}  // namespace
}  // namespace eagleray
