// SPDX-License-Identifier: Apache-2.0
// Doorbells: how a process that blocks in its event loop is woken. Each mailbox has a FIFO `bell.<slot>` in the segment's
// directory, which its owner polls and anyone in the segment may write a byte to.
//
// Who wants to sleep sets `sleeping`, passes a full fence, looks once more at everything it could be woken for, and blocks. Who has
// published something passes a full fence and rings if it can exchange `sleeping` from 1 to 0. So either the sleeper sees what was
// published or the publisher sees the sleeper; and one byte is written a sleep, however many publish.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "channel_layout.h"
#include "status.h"

namespace eagleray {

std::string bell_path(const std::string& directory, uint32_t slot);

// The owner's end.
class Bell {
 public:
  Bell() = default;
  ~Bell() { close(); }
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // Makes the FIFO (mode 0600) or takes over the one that an earlier process in this slot left.
  Status open(const std::string& directory, uint32_t slot);
  // Readable when someone rang. -1 when closed.
  int fd() const { return fd_; }
  // Takes the rings so far.
  void drain();
  void close();

 private:
  int fd_ = -1;
};

// Everyone else's end: rings the bells of one segment. Safe to use from all threads of the process.
class Bells {
 public:
  Bells(ChannelRegion region, std::string directory);
  ~Bells();
  Bells(const Bells&) = delete;
  Bells& operator=(const Bells&) = delete;

  // After something was published to the process in `slot`: wakes it if it sleeps. A slot that nobody is in is no error.
  void wake(uint32_t slot);
  // Tells the process in `slot` that an object it expects may have been sealed.
  void wake_sealed(uint32_t slot);
  // After a death: as wake_sealed, and rings even if the mailbox says that its owner is awake. The one who died may have taken the
  // sleeper's flag and not have written the byte.
  void rouse(uint32_t slot);
  // Asks the process in `slot` to look at the state of a channel.
  void attend(uint32_t slot, uint32_t channel);

 private:
  void ring(uint32_t slot);
  bool write_byte(uint32_t slot);

  ChannelRegion region_;
  std::string directory_;
  std::mutex mutex_;       // ringing is a system call anyway; the lock keeps a descriptor from being closed under a writer
  std::vector<int> fds_;   // by slot; -1 = not open
};

}  // namespace eagleray
