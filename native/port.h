// SPDX-License-Identifier: Apache-2.0
// A process's mailbox: all its channels, sending and draining, and when it may sleep. Knows nothing of event loops: the
// binding calls `drain` and `next_event` in turns and blocks on `bell` after `prepare_sleep`. One thread uses a Port.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "channel.h"
#include "ring.h"
#include "wake.h"

namespace eagleray {

struct PortEvent {
  enum class Kind { kOpened, kClosed, kDied, kCorrupt, kWritable };
  Kind kind;
  uint32_t channel;
  uint32_t peer_slot;
};

class Port {
 public:
  enum class Sent { kSent, kFull, kTooLong, kUnknown };

  // `bells` and `host` outlive the port.
  Port(ChannelRegion region, Bells& bells, ChannelHost& host, const Peer& self);
  ~Port() { close(); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // Makes the doorbell. Before that, others may open channels and send; they cannot wake.
  Status open(const std::string& directory);
  // Leaves every channel. For good: the mailbox may have another reader afterwards, so a second call does nothing.
  void close();

  Result<uint32_t> connect(const Peer& other);
  // Puts one packet on the ring and wakes the receiver. kFull: nothing was written, and kWritable follows. A packet to a peer
  // that is gone, or whose ring is garbage, is lost as it would be underway: the event that tells of it follows.
  Sent send(uint32_t channel, const void* bytes, uint32_t length);
  // The claim words of side "mine" and "theirs"; false when the channel is not open here.
  bool claims(uint32_t channel, std::atomic<int32_t>** mine, std::atomic<int32_t>** theirs);
  // Leaves the channel; no event follows. Also after kClosed, kDied and kCorrupt, which leave its memory (the claim words) to be
  // looked at until then. False when the channel is not open here.
  bool disconnect(uint32_t channel);

  // Whether there is anything to drain or tell. Cheap: what a spin repeats.
  bool pending() const;
  // Copies packets that have arrived to `inbox`, and for packet i channel, offset and length to index[3 i ...]. Takes turns among
  // the channels, so that one that never stops does not starve the others. Gives their number; 0 when there are none.
  // REQUIRES: inbox_bytes >= kPacketBytesMax, index_length >= 3.
  uint32_t drain(std::byte* inbox, uint32_t inbox_bytes, int32_t* index, uint32_t index_length);
  // Looks at what peers announced. A turn is: look, tell the events, drain, tell packets and events. So a channel's opening is
  // told before its packets and its end after them.
  void look();
  // The next thing to tell; false when there is none.
  bool next_event(PortEvent* event);
  // Whether objects this process expects may have been sealed since the last call.
  bool take_sealed();

  // Announces that this process is about to block on the bell. False when something has arrived: then it must not block.
  bool prepare_sleep();
  // After blocking, or instead of it.
  void awake();
  Bell& bell() { return bell_; }
  size_t channels() const { return open_.size(); }

 private:
  struct Link {
    RingWriter writer;
    RingReader reader;
    int side;
    Peer peer;
    bool blocked;  // the last send found the ring full
    bool left;     // the peer left; `died` tells how
    bool died;
    bool corrupt;
    bool ended;    // the event that says so is queued or told; nothing more is read
  };
  // How much of the inbox one channel may fill while others wait.
  struct Quota {
    uint32_t bytes;
    uint32_t packets;
  };
  struct Inbox;

  void add(uint32_t channel, int side);
  void drop(uint32_t channel);
  void look_at(uint32_t channel);
  bool drain_link(uint32_t channel, Link& link, Quota quota, Inbox& inbox);

  ChannelRegion region_;
  Bells& bells_;
  ChannelHost& host_;
  Peer self_;
  Mailbox& mailbox_;
  Bell bell_;
  uint32_t attention_seen_;
  std::vector<std::unique_ptr<Link>> links_;  // by channel; null = not open here
  std::vector<uint32_t> open_;                // channels with a link, in the order of turns
  bool closed_ = false;
  size_t turn_ = 0;                           // whose turn is first in the next drain
  std::deque<PortEvent> events_;
};

}  // namespace eagleray
