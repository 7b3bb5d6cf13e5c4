// SPDX-License-Identifier: Apache-2.0
#include "wake.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "fault_points.h"
#include "full_fence.h"

namespace eagleray {
namespace {

// Writing to a FIFO whose reader died raises SIGPIPE, and there is no flag against it. Node ignores it; others may not have
// chosen yet, and for them we do.
void ignore_sigpipe() {
  struct sigaction action {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
  }
}

}  // namespace

std::string bell_path(const std::string& directory, uint32_t slot) { return directory + "/bell." + std::to_string(slot); }

Status Bell::open(const std::string& directory, uint32_t slot) {
  const std::string path = bell_path(directory, slot);
  if (mkfifo(path.c_str(), 0600) != 0 && errno != EEXIST) return system_error("make the doorbell " + path, errno);
  // Open for writing too, so that the FIFO never reports the end of the file when the last writer goes.
  EAGLERAY_FAULT("port.made_bell");
  const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return system_error("open the doorbell " + path, errno);
  struct stat info {};
  if (fstat(fd, &info) != 0 || !S_ISFIFO(info.st_mode)) {
    ::close(fd);
    return Status(Code::kStoreCorrupt, "open the doorbell " + path + ": it is no FIFO");
  }
  close();
  fd_ = fd;
  drain();
  return Status();
}

void Bell::drain() {
  char bytes[512];
  while (read(fd_, bytes, sizeof bytes) == static_cast<ssize_t>(sizeof bytes)) {}
}

void Bell::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Bells::Bells(ChannelRegion region, std::string directory) : region_(region), directory_(std::move(directory)), fds_(kMailboxes, -1) {
  ignore_sigpipe();
}

Bells::~Bells() {
  for (const int fd : fds_) {
    if (fd >= 0) ::close(fd);
  }
}

void Bells::wake(uint32_t slot) {
  Mailbox& mailbox = region_.mailbox(slot);
  full_fence();
  if (mailbox.sleeping.load(std::memory_order_relaxed) == 0) return;
  if (mailbox.sleeping.exchange(0, std::memory_order_relaxed) != 1) return;
  EAGLERAY_FAULT("wake.taken");
  ring(slot);
  EAGLERAY_FAULT("wake.rung");
}

void Bells::wake_sealed(uint32_t slot) {
  region_.mailbox(slot).sealed.store(1, std::memory_order_release);
  wake(slot);
}

void Bells::rouse(uint32_t slot) {
  region_.mailbox(slot).sealed.store(1, std::memory_order_release);
  ring(slot);
}

void Bells::attend(uint32_t slot, uint32_t channel) {
  Mailbox& mailbox = region_.mailbox(slot);
  mailbox.attention[channel / 64].fetch_or(uint64_t{1} << (channel % 64), std::memory_order_release);
  EAGLERAY_FAULT("attend.marked");
  mailbox.attention_count.fetch_add(1, std::memory_order_release);
  EAGLERAY_FAULT("attend.counted");
  wake(slot);
}

void Bells::ring(uint32_t slot) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (write_byte(slot)) return;
  // The reader we knew is gone. Another process may have taken the slot and the FIFO since: try once with a fresh descriptor.
  if (fds_[slot] >= 0) ::close(fds_[slot]);
  fds_[slot] = -1;
  write_byte(slot);
}

// False when there is no reader behind the descriptor we hold. That the FIFO is full is as good as written.
bool Bells::write_byte(uint32_t slot) {
  if (fds_[slot] < 0) fds_[slot] = ::open(bell_path(directory_, slot).c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  if (fds_[slot] < 0) {
    // ENOENT, ENXIO: nobody there; its death is the reaper's to tell. Anything else is our own trouble (too many open files):
    // leave the sleeper marked, so that the next one who has something for it tries again.
    if (errno != ENOENT && errno != ENXIO) region_.mailbox(slot).sleeping.store(1, std::memory_order_relaxed);
    return true;
  }
  const char byte = 1;
  while (write(fds_[slot], &byte, 1) != 1) {
    if (errno == EINTR) continue;
    return errno == EAGAIN;
  }
  return true;
}

}  // namespace eagleray
