// SPDX-License-Identifier: Apache-2.0
#include "spill_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace eagleray {
namespace {

constexpr uint32_t kModeBits = 07777;

std::string octal(uint32_t mode) {
  std::string text;
  for (int shift = 9; shift >= 0; shift -= 3) text += static_cast<char>('0' + (mode >> shift & 7));
  return text;
}

}  // namespace

SpillDirectory::~SpillDirectory() {
  const int fd = descriptor_.load();
  if (fd >= 0) close(fd);
}

Result<int> SpillDirectory::open_once() {
  int known = descriptor_.load();
  if (known >= 0) return known;
  const int fd = ::open(link_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return system_error("open the directory of spilled objects " + link_, errno);
  if (descriptor_.compare_exchange_strong(known, fd)) return fd;
  close(fd);  // another thread was sooner
  return known;
}

Status SpillDirectory::adopt(SpillState& state) {
  const Result<int> fd = open_once();
  if (!fd.ok()) return fd.status();
  struct stat info;
  if (fstat(fd.value(), &info) != 0) return system_error("stat " + link_, errno);
  state.directory_device = info.st_dev;
  state.directory_inode = info.st_ino;
  state.directory_owner = info.st_uid;
  state.directory_mode = info.st_mode & kModeBits;
  return Status();
}

Result<int> SpillDirectory::descriptor(const SpillState& state) {
  const Result<int> fd = open_once();
  if (!fd.ok()) return fd;
  struct stat info;
  if (fstat(fd.value(), &info) != 0) return system_error("stat " + link_, errno);
  const auto refused = [this](const std::string& why) {
    return Status(Code::kSystem, "the directory of spilled objects, to which " + link_ + " leads, " + why +
                                     ": it is not used. What is in memory is not lost");
  };
  if (info.st_dev != state.directory_device || info.st_ino != state.directory_inode) {
    return refused("is another than the one that the store was made with");
  }
  if (info.st_nlink == 0) return refused("was removed");
  const uint32_t mode = info.st_mode & kModeBits;
  if (info.st_uid != state.directory_owner || mode != state.directory_mode) {
    return refused("belongs to user " + std::to_string(info.st_uid) + " with mode " + octal(mode) + " and belonged to user " +
                   std::to_string(state.directory_owner) + " with mode " + octal(state.directory_mode) +
                   ", so others may have been at its files");
  }
  return fd;
}

}  // namespace eagleray
