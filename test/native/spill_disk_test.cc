// SPDX-License-Identifier: Apache-2.0
// Disks that are full, refuse or fail, and files and directories that somebody put in the place of the store's: an error then and
// there, nothing lost that is in memory, and no byte of anybody else's read, written or removed.
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <optional>

#include "spill_fixture.h"

namespace eagleray {
namespace {

constexpr uint64_t kSize = 500 << 10;  // of which eight fill the heap

class SpillDiskTest : public SpillTest {
 protected:
  void TearDown() override {
    if (mounted_) (void)umount2(disk().c_str(), MNT_DETACH);
    SpillTest::TearDown();
  }

  // A file system of its own at disk(). False where this process may not mount one.
  bool mount_disk(const char* options) {
    std::filesystem::create_directory(disk());
    mounted_ = mount("eagleray-test", disk().c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
    return mounted_;
  }

  // Takes the last byte that the disk has. Anything else goes on.
  void fill_disk() {
    std::ofstream file(filler());
    const std::vector<char> bytes(kPage);
    while (file.write(bytes.data(), kPage).flush()) {
    }
  }
  std::string filler() const { return disk() + "/of-somebody-else"; }

  // What an other program wrote somewhere, and looks for later.
  std::string somebody_elses(const std::string& name) {
    const std::string path = root_ + "/elsewhere/" + name;
    std::filesystem::create_directory(root_ + "/elsewhere");
    std::ofstream(path) << std::string(2 * kSize, '!');
    return path;
  }
  static void expect_untouched(const std::string& path) {
    std::ifstream file(path);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    EXPECT_TRUE(bytes == std::string(2 * kSize, '!')) << path << " has " << bytes.size() << " bytes";
  }

  // Puts until something is refused, from the n-th object on; gives how many there are then.
  static uint64_t put_until_refused(Store& store, uint64_t n, Code expected, Status* refused = nullptr) {
    Status status;
    while ((status = put(store, n, kSize)).ok()) n++;
    EXPECT_EQ(status.code(), expected) << status.describe();
    if (refused != nullptr) *refused = status;
    return n;
  }
  void expect_all(Store& store, uint64_t count) {
    for (uint64_t n = 0; n < count; n++) expect_content(store, n, kSize);
    expect_sound(store);
  }

  bool mounted_ = false;
};

#define MOUNT_OR_SKIP(options) \
  if (!mount_disk(options)) GTEST_SKIP() << "mounting a file system takes rights that this process has not"

TEST_F(SpillDiskTest, AFullDiskIsAnErrorAndLosesNothing) {
  MOUNT_OR_SKIP("size=8m,mode=0700");
  Store store = make_spilling();
  uint64_t made = 0;
  for (; made < 14; made++) ASSERT_TRUE(put(store, made, kSize).ok());
  fill_disk();
  made = put_until_refused(store, made, Code::kDiskFull);
  EXPECT_EQ(store.create(id_of(1, 9), 2 * kHeap).code(), Code::kDiskFull);
  EXPECT_EQ(store.stats().value().objects, made);
  expect_all(store, made);
  // Whatever makes room on it: somebody else, or a deletion.
  std::filesystem::remove(filler());
  ASSERT_TRUE(put(store, made++, kSize).ok());
  fill_disk();
  made = put_until_refused(store, made, Code::kDiskFull);
  for (uint64_t n = 0; n < 4; n++) ASSERT_TRUE(store.remove(id_of(n)).value());
  for (uint64_t n = 0; n < 3; n++) ASSERT_TRUE(put(store, n, kSize).ok()) << n;
  for (uint64_t n = 4; n < made; n++) expect_content(store, n, kSize);
  expect_sound(store);
}

// The room that was there when it was looked for is gone when it is written to.
TEST_F(SpillDiskTest, ADiskThatFillsUpUnderTheWriterIsAnErrorAndLosesNothing) {
  MOUNT_OR_SKIP("size=8m,mode=0700");
  Store store = make_spilling();
  for (uint64_t n = 0; n < 6; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  const auto fill_but = [this] {
    fill_disk();
    std::filesystem::resize_file(filler(), std::filesystem::file_size(filler()) - 2 * kSize);
  };
  const Status refused = while_spilling(store, 6 * kSize, fill_but);
  EXPECT_EQ(refused.code(), Code::kDiskFull) << refused.describe();
  expect_all(store, 6);
  EXPECT_EQ(store.stats().value().disk_bytes, 0u);
  EXPECT_EQ(std::filesystem::file_size(disk() + "/0"), 0u) << "what was written in vain";
  std::filesystem::remove(filler());
  ASSERT_TRUE(spill_objects(store, 6 * kSize).ok());
  EXPECT_EQ(store.stats().value().spilled, 6u);
  expect_all(store, 6);
}

TEST_F(SpillDiskTest, ADiskWithoutInodesIsAnErrorAndLosesNothing) {
  MOUNT_OR_SKIP("nr_inodes=1,mode=0700");
  Store store = make_spilling();
  expect_all(store, put_until_refused(store, 0, Code::kDiskFull));
  EXPECT_EQ(store.create(id_of(1, 9), 2 * kHeap).code(), Code::kDiskFull);
}

TEST_F(SpillDiskTest, ADiskThatBecomesReadOnlyIsReadOn) {
  MOUNT_OR_SKIP("size=64m,mode=0700");
  Store store = make_spilling();
  for (uint64_t n = 0; n < 20; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  ASSERT_EQ(mount("eagleray-test", disk().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "mode=0700"), 0);
  expect_all(store, put_until_refused(store, 20, Code::kSystem));
}

TEST_F(SpillDiskTest, APartOfTheDiskStaysFree) {
  MOUNT_OR_SKIP("size=64m,mode=0700");
  Store store = make_spilling();
  EXPECT_EQ(store.create(id_of(1), 61 << 20).code(), Code::kDiskFull);
  EXPECT_EQ(store.stats().value().objects, 0u);
  ASSERT_TRUE(store.create(id_of(1), 60 << 20).ok());
  ASSERT_TRUE(store.abort(id_of(1)).ok());
}

TEST_F(SpillDiskTest, AFileThatWasCutIsAnErrorOfTheReader) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 20; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  for (const auto& file : std::filesystem::directory_iterator(disk())) std::filesystem::resize_file(file.path(), 100);
  uint64_t failed = 0;
  for (uint64_t n = 0; n < 20; n++) {
    const Result<View> view = store.view(id_of(n));
    if (view.ok()) store.release(view.value());
    failed += view.code() == Code::kSystem;
  }
  EXPECT_GE(failed, 10u);
  expect_sound(store);
}

// Also where another is made in its place: whoever did that may be at its files.
TEST_F(SpillDiskTest, ADirectoryThatIsRemovedIsAnErrorAndLosesNothing) {
  Store store = make_spilling();
  ASSERT_TRUE(put(store, 0, kSize).ok());
  std::filesystem::remove(disk());
  std::ofstream(disk()) << "no directory";
  uint64_t made = put_until_refused(store, 1, Code::kSystem);
  EXPECT_GE(made, 7u);
  expect_all(store, made);
  std::filesystem::remove(disk());
  std::filesystem::create_directory(disk());
  made = put_until_refused(store, made, Code::kSystem);
  expect_all(store, made);
  EXPECT_EQ(files(), 0u);
  EXPECT_EQ(store.create(id_of(1, 9), 2 * kHeap).code(), Code::kSystem);
  expect_sound(store);
}

TEST_F(SpillDiskTest, ALinkThatIsMadeToLeadElsewhereIsNotFollowed) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 12; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  std::vector<std::string> others;
  for (int serial = 0; serial < 5; serial++) others.push_back(somebody_elses(std::to_string(serial)));
  std::filesystem::remove(path() + "/spill");
  std::filesystem::create_directory_symlink(root_ + "/elsewhere", path() + "/spill");
  // Who had the directory open goes on with it.
  for (uint64_t n = 12; n < 20; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  expect_all(store, 20);
  // Who comes only now is told, has what is in memory, and changes nothing.
  Store late(Client::attach(path(), true).value());
  uint64_t there = 0;
  for (uint64_t n = 0; n < 20; n++) {
    const Result<View> view = late.view(id_of(n));
    if (view.ok()) {
      EXPECT_EQ(std::memcmp(view.value().data, pattern(kSize, n + 1).data(), kSize), 0);
      late.release(view.value());
      there++;
      continue;
    }
    EXPECT_EQ(view.code(), Code::kSystem);
    EXPECT_NE(view.status().message().find("another than the one that the store was made with"), std::string::npos);
  }
  EXPECT_GE(there, 6u);
  EXPECT_EQ(late.put(id_of(1, 9), pattern(2 * kHeap, 1).data(), 2 * kHeap).code(), Code::kSystem);
  EXPECT_EQ(late.source(id_of(0)).code(), Code::kSystem);
  for (uint64_t n = 0; n < 20; n += 2) ASSERT_TRUE(late.remove(id_of(n)).value());
  reclaim_disk(late.client()->segment(), late.client()->slot(), late.client()->generation(), true);
  for (const std::string& other : others) expect_untouched(other);
  for (uint64_t n = 1; n < 20; n += 2) expect_content(store, n, kSize);
  expect_sound(store);
}

TEST_F(SpillDiskTest, ADirectoryThatOthersMayWriteToIsNotUsed) {
  Store store = make_spilling();
  uint64_t made = 0;
  for (; made < 12; made++) ASSERT_TRUE(put(store, made, kSize).ok());
  ASSERT_EQ(chmod(disk().c_str(), 0777), 0);
  Status refused;
  made = put_until_refused(store, made, Code::kSystem, &refused);
  EXPECT_NE(refused.message().find("with mode 0777"), std::string::npos) << refused.describe();
  EXPECT_EQ(store.source(id_of(0)).code(), Code::kSystem);
  expect_sound(store);
  // Put right again, nothing was lost.
  ASSERT_EQ(chmod(disk().c_str(), 0755), 0);
  ASSERT_TRUE(put(store, made++, kSize).ok());
  expect_all(store, made);
}

TEST_F(SpillDiskTest, ADirectoryThatIsGivenToAnotherUserIsNotUsed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may give a directory away";
  Store store = make_spilling();
  uint64_t made = 0;
  for (; made < 12; made++) ASSERT_TRUE(put(store, made, kSize).ok());
  ASSERT_EQ(chown(disk().c_str(), 12345, 12345), 0);
  Status refused;
  made = put_until_refused(store, made, Code::kSystem, &refused);
  EXPECT_NE(refused.message().find("belongs to user 12345"), std::string::npos) << refused.describe();
  ASSERT_EQ(chown(disk().c_str(), 0, 0), 0);
  ASSERT_TRUE(put(store, made++, kSize).ok());
  expect_all(store, made);
}

// How somebody else's file, or what is no file, may come to lie where one of the store's was or is to be.
enum class Instead { kSymbolicLink, kHardLink, kFifo, kDirectory };

class SpillFileInsteadTest : public SpillDiskTest, public ::testing::WithParamInterface<Instead> {
 protected:
  void put_there(const std::string& path, const std::string& other) {
    switch (GetParam()) {
      case Instead::kSymbolicLink: std::filesystem::create_symlink(other, path); break;
      case Instead::kHardLink: std::filesystem::create_hard_link(other, path); break;
      case Instead::kFifo: ASSERT_EQ(mkfifo(path.c_str(), 0600), 0); break;
      case Instead::kDirectory: std::filesystem::create_directory(path); break;
    }
  }
};

TEST_P(SpillFileInsteadTest, OfAFileThatIsThereIsAnErrorOfTheReader) {
  Store store = make_spilling();
  for (uint64_t n = 0; n < 20; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  const std::string other = somebody_elses("file");
  std::filesystem::remove(disk() + "/0");
  put_there(disk() + "/0", other);
  uint64_t failed = 0, there = 0;
  for (uint64_t n = 0; n < 20; n++) {
    const Result<View> view = store.view(id_of(n));
    if (view.ok()) store.release(view.value());
    failed += view.code() == Code::kSystem;
    there += view.ok();
  }
  EXPECT_GE(failed, 10u);
  EXPECT_EQ(failed + there, 20u);
  for (uint64_t n = 0; n < 20; n += 2) ASSERT_TRUE(store.remove(id_of(n)).value());
  reclaim_disk(store.client()->segment(), store.client()->slot(), store.client()->generation(), true);
  expect_sound(store);
  expect_untouched(other);
}

TEST_P(SpillFileInsteadTest, OfAFileThatIsToBeIsNotWrittenTo) {
  Store store = make_spilling();
  const std::string other = somebody_elses("file");
  put_there(disk() + "/0", other);
  const uint64_t made = put_until_refused(store, 0, Code::kSystem);
  expect_all(store, made);
  // The next file is the store's own.
  for (uint64_t n = made; n < made + 8; n++) ASSERT_TRUE(put(store, n, kSize).ok());
  expect_all(store, made + 8);
  expect_untouched(other);
}

TEST_P(SpillFileInsteadTest, OfAFileThatObjectsAreMadeInIsNotWrittenTo) {
  Store store = make_spilling();
  const std::string other = somebody_elses("file");
  put_there(disk() + "/0", other);
  EXPECT_EQ(store.create(id_of(1), 2 * kHeap).code(), Code::kSystem);
  EXPECT_EQ(store.stats().value().objects, 0u);
  ASSERT_TRUE(put(store, 1, 2 * kHeap).ok());
  expect_content(store, 1, 2 * kHeap);
  expect_untouched(other);
}

INSTANTIATE_TEST_SUITE_P(Instead, SpillFileInsteadTest,
                         ::testing::Values(Instead::kSymbolicLink, Instead::kHardLink, Instead::kFifo, Instead::kDirectory));

TEST_F(SpillDiskTest, WhenAllRecordsOfFilesAreTakenTheErrorSaysSo) {
  Store store = make_spilling();
  Segment& segment = store.client()->segment();
  {
    SegmentLock lock(segment, store.client()->slot(), store.client()->generation());
    for (uint32_t i = 0; i < kSpillFiles; i++) {
      segment.spill_file(i).state = spill_file_state::kOpen;
      segment.spill_file(i).writer_slot = kMaxClients - 1;
    }
    segment.spill().high_water = kSpillFiles;
  }
  Status refused;
  const uint64_t made = put_until_refused(store, 0, Code::kDiskFull, &refused);
  EXPECT_NE(refused.message().find("all 4096 files of spilled objects are in use"), std::string::npos) << refused.describe();
  expect_all(store, made);
}

}  // namespace
}  // namespace eagleray
