// SPDX-License-Identifier: Apache-2.0
// The system calls of spilling: mapping, reading and making files.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "segment.h"
#include "spill.h"

namespace eagleray {
namespace {

class File {
 public:
  File(Segment& segment, uint64_t serial, int flags) : path_(segment.spill_path(serial)) {
    const Result<int> directory = segment.spill_directory();
    status_ = directory.status();
    if (!directory.ok()) return;
    fd_ = openat(directory.value(), std::to_string(serial).c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0 || fstat(fd_, &info_) != 0) {
      status_ = disk_error("open " + path_, errno);
    } else if (!S_ISREG(info_.st_mode) || info_.st_nlink > 1) {
      // Also known elsewhere, so what is in it may be somebody else's.
      status_ = Status(Code::kSystem, "open " + path_ + ": it is no file of spilled objects any more, but was put in the place of one");
    }
  }
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const Status& status() const { return status_; }
  int fd() const { return fd_; }
  uint64_t size() const { return static_cast<uint64_t>(info_.st_size); }
  Status error(const char* attempt, int error) const { return disk_error(std::string(attempt) + " " + path_, error); }
  Status cut_short(const char* attempt) const { return Status(Code::kSystem, std::string(attempt) + " " + path_ + ": the file was cut short"); }

 private:
  static Status disk_error(const std::string& attempt, int error) {
    Status status = system_error(attempt, error);
    return status.code() == Code::kStoreSpace ? Status(Code::kDiskFull, status.message()) : status;
  }

  const std::string path_;
  int fd_ = -1;
  struct stat info_{};
  Status status_;
};

// Neither waits for the other end of what is no file at all.
constexpr int kToRead = O_RDONLY | O_NONBLOCK;
constexpr int kToWrite = O_RDWR | O_CREAT;

}  // namespace

Result<std::shared_ptr<DiskMapping>> DiskMapping::map(Segment& segment, uint64_t serial, uint64_t offset, uint64_t length, bool writable) {
  const File file(segment, serial, writable ? O_RDWR : kToRead);
  if (!file.status().ok()) return file.status();
  // Touching what lies beyond the end of a file would end the process.
  if (file.size() < offset + length) return file.cut_short("map");
  const uint64_t before = offset % kPage;
  const uint64_t whole = std::max<uint64_t>(before + length, 1);
  void* at = mmap(nullptr, whole, PROT_READ | PROT_WRITE, (writable ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, file.fd(),
                  static_cast<off_t>(offset - before));
  if (at == MAP_FAILED) return file.error("map", errno);
  std::shared_ptr<DiskMapping> mapping(new DiskMapping(static_cast<std::byte*>(at), before, whole));
#ifndef MADV_POPULATE_READ
  constexpr int MADV_POPULATE_READ = 22;
#endif
  // Reads it all in now: a disk that fails is an error here, and a signal later.
  if (!writable && madvise(at, whole, MADV_POPULATE_READ) != 0 && errno != EINVAL) return file.error("read", errno);
  return mapping;
}

DiskMapping::~DiskMapping() { munmap(base_, length_); }

Status read_spilled(Segment& segment, uint64_t serial, uint64_t offset, std::byte* target, uint64_t length) {
  const File file(segment, serial, kToRead);
  if (!file.status().ok()) return file.status();
  while (length > 0) {
    const ssize_t got = pread(file.fd(), target, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file.error("read", errno);
    if (got == 0) return file.cut_short("read");
    target += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return Status();
}

Status write_spilled(Segment& segment, uint64_t serial, uint64_t offset, const std::byte* bytes, uint64_t length) {
  const File file(segment, serial, kToWrite);
  if (!file.status().ok()) return file.status();
  // Writing beyond the end would leave a hole where objects were, to be read as zeros.
  if (file.size() + kPage < offset) return file.cut_short("write");
  const uint64_t begin = offset, whole = length;
  while (length > 0) {
    const ssize_t written = pwrite(file.fd(), bytes, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file.error("write", errno);
    bytes += written;
    offset += static_cast<uint64_t>(written);
    length -= static_cast<uint64_t>(written);
  }
  // The disk begins at once instead of when memory is full of it.
  (void)sync_file_range(file.fd(), static_cast<off_t>(begin), static_cast<off_t>(whole), SYNC_FILE_RANGE_WRITE);
  return Status();
}

Status reserve_spilled(Segment& segment, uint64_t serial, uint64_t offset, uint64_t length) {
  const File file(segment, serial, kToWrite);
  if (!file.status().ok()) return file.status();
  if (file.size() + kPage < offset) return file.cut_short("reserve");
  const auto bytes = static_cast<off_t>(std::max<uint64_t>(length, 1));  // of none it would be an error
  int failed = EINTR;
  while (failed == EINTR) failed = posix_fallocate(file.fd(), static_cast<off_t>(offset), bytes);
  return failed == 0 ? Status() : file.error("reserve room in", failed);
}

void cut_spilled(Segment& segment, uint64_t serial, uint64_t offset) {
  const File file(segment, serial, O_RDWR);
  // Never longer: where somebody cut it, zeros would be read as objects.
  if (file.status().ok() && file.size() > offset) (void)!ftruncate(file.fd(), static_cast<off_t>(offset));
}

uint64_t punch_spilled(Segment& segment, uint64_t serial, std::span<const DiskRange> ranges) {
  const File file(segment, serial, O_RDWR);
  uint64_t holes = 0;
  for (const DiskRange& range : ranges) {
    const auto length = static_cast<off_t>(range.end - range.begin);
    if (!file.status().ok()) break;
    const int punched = fallocate(file.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(range.begin), length);
    if (punched == 0) holes += static_cast<uint64_t>(length);
  }
  return holes;
}

}  // namespace eagleray
