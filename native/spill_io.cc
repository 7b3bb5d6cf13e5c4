// SPDX-License-Identifier: Apache-2.0
// The system calls of spilling: mapping, reading and making files.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "layout.h"
#include "spill.h"

namespace eagleray {
namespace {

class File {
 public:
  File(const std::string& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600)) {}
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

Status disk_error(const std::string& attempt, int error) {
  Status status = system_error(attempt, error);
  return status.code() == Code::kStoreSpace ? Status(Code::kDiskFull, status.message()) : status;
}

}  // namespace

Result<std::shared_ptr<DiskMapping>> DiskMapping::map(const std::string& path, uint64_t offset, uint64_t length, bool writable) {
  const File file(path, writable ? O_RDWR : O_RDONLY);
  if (file.fd() < 0) return system_error("open " + path, errno);
  // Touching what lies beyond the end of a file would end the process.
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return system_error("stat " + path, errno);
  if (static_cast<uint64_t>(info.st_size) < offset + length) return Status(Code::kSystem, "map " + path + ": the file was cut short");
  void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, (writable ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, file.fd(),
                  static_cast<off_t>(offset));
  if (at == MAP_FAILED) return system_error("map " + path, errno);
  std::shared_ptr<DiskMapping> mapping(new DiskMapping(static_cast<std::byte*>(at), length));
#ifndef MADV_POPULATE_READ
  constexpr int MADV_POPULATE_READ = 22;
#endif
  // Reads it all in now: a disk that fails is an error here, and a signal later.
  if (!writable && madvise(at, length, MADV_POPULATE_READ) != 0 && errno != EINVAL) return system_error("read " + path, errno);
  return mapping;
}

DiskMapping::~DiskMapping() { munmap(data_, length_); }

Status read_spilled(const std::string& path, uint64_t offset, std::byte* target, uint64_t length) {
  const File file(path, O_RDONLY);
  if (file.fd() < 0) return system_error("open " + path, errno);
  while (length > 0) {
    const ssize_t got = pread(file.fd(), target, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error("read " + path, errno);
    if (got == 0) return Status(Code::kSystem, "read " + path + ": the file was cut short");
    target += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return Status();
}

Status write_spilled(const std::string& path, uint64_t offset, const std::byte* bytes, uint64_t length) {
  const File file(path, O_WRONLY | O_CREAT);
  if (file.fd() < 0) return disk_error("make " + path, errno);
  // Writing beyond the end would leave a hole where objects were, to be read as zeros.
  struct stat info;
  if (fstat(file.fd(), &info) != 0) return system_error("stat " + path, errno);
  if (static_cast<uint64_t>(info.st_size) + kPage < offset) return Status(Code::kSystem, "write " + path + ": the file was cut short");
  const uint64_t begin = offset, whole = length;
  while (length > 0) {
    const ssize_t written = pwrite(file.fd(), bytes, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_error("write " + path, errno);
    bytes += written;
    offset += static_cast<uint64_t>(written);
    length -= static_cast<uint64_t>(written);
  }
  // The disk begins at once instead of when memory is full of it.
  (void)sync_file_range(file.fd(), static_cast<off_t>(begin), static_cast<off_t>(whole), SYNC_FILE_RANGE_WRITE);
  return Status();
}

Status make_disk_object(const std::string& path, uint64_t bytes) {
  const File file(path, O_RDWR | O_CREAT | O_EXCL);
  if (file.fd() < 0) return disk_error("make " + path, errno);
  int failed = posix_fallocate(file.fd(), 0, static_cast<off_t>(bytes));
  while (failed == EINTR) failed = posix_fallocate(file.fd(), 0, static_cast<off_t>(bytes));
  if (failed == 0) return Status();
  (void)unlink(path.c_str());
  return disk_error("reserve " + std::to_string(bytes) + " bytes of " + path, failed);
}

}  // namespace eagleray
