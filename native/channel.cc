// SPDX-License-Identifier: Apache-2.0
#include "channel.h"

#include <cerrno>

#include "fault_points.h"
#include "spinners.h"

namespace eagleray {
namespace {

using namespace channel_state;

// Holds the channel table's lock. A holder that died left at most one record being filled in, which nobody else has seen.
class TableLock {
 public:
  explicit TableLock(ChannelRegion region) : mutex_(&region.header().lock) {
    error_ = pthread_mutex_lock(mutex_);
    EAGLERAY_FAULT("channel.locked");
    if (error_ != EOWNERDEAD) return;
    for (uint32_t channel = 0; channel < kMaxChannels; ++channel) {
      auto& state = region.record(channel).state;
      const uint64_t word = state.load(std::memory_order_relaxed);
      if ((word & kOpening) != 0) state.store(word & ~(kGeneration - 1), std::memory_order_release);
    }
    EAGLERAY_FAULT("channel.repaired");
    error_ = pthread_mutex_consistent(mutex_);
  }
  ~TableLock() {
    if (error_ == 0) pthread_mutex_unlock(mutex_);
  }
  TableLock(const TableLock&) = delete;
  TableLock& operator=(const TableLock&) = delete;

  Status status() const { return error_ == 0 ? Status() : system_error("lock the channel table", error_); }

 private:
  pthread_mutex_t* mutex_;
  int error_;
};

// The side that `peer` is on in an open record; -1 when on none.
int side_of(const ChannelRecord& record, const Peer& peer) {
  for (int side = 0; side < 2; ++side) {
    if (record.peer_slot[side] == peer.slot && record.peer_nonce[side] == peer.nonce) return side;
  }
  return -1;
}

bool is_open_to_both(uint64_t state) { return (state & (kOpen | kLeft0 | kLeft1)) == kOpen; }

void reset_body(ChannelBody& body) {
  for (RingControl& ring : body.ring) {
    ring.tail.store(0, std::memory_order_relaxed);
    ring.head.store(0, std::memory_order_relaxed);
    ring.writer_waiting.store(0, std::memory_order_relaxed);
  }
  for (auto& words : body.claims) {
    for (auto& word : words) word.store(0, std::memory_order_relaxed);
  }
}

// Fills in a free record and publishes it. Under the lock.
Status fill_in(ChannelRegion region, ChannelHost& host, uint32_t channel, const Peer& self, const Peer& other) {
  ChannelRecord& record = region.record(channel);
  const uint64_t generation = (record.state.load(std::memory_order_relaxed) & ~(kGeneration - 1)) + kGeneration;
  record.state.store(generation | kOpening, std::memory_order_relaxed);
  EAGLERAY_FAULT("channel.opening");
  if (record.backed == 0) {
    Status status = host.reserve(kChannelBodyOffset + channel * sizeof(ChannelBody), sizeof(ChannelBody));
    if (!status.ok()) {
      record.state.store(generation, std::memory_order_release);
      return status;
    }
    record.backed = 1;
    EAGLERAY_FAULT("channel.backed");
  }
  const Peer peers[2] = {self, other};
  for (int side = 0; side < 2; ++side) {
    record.peer_slot[side] = peers[side].slot;
    record.peer_nonce[side] = peers[side].nonce;
  }
  reset_body(region.body(channel));
  EAGLERAY_FAULT("channel.filled");
  record.state.store(generation | kOpen, std::memory_order_release);
  EAGLERAY_FAULT("channel.open");
  return Status();
}

std::string name_of(const Peer& peer) { return "the process in slot " + std::to_string(peer.slot); }

}  // namespace

Peer peer_of(const WorkerId& id) {
  Peer peer;
  peer.slot = static_cast<uint32_t>(id[kNodeIdBytes]) << 8 | id[kNodeIdBytes + 1];
  for (size_t i = kNodeIdBytes + 2; i < kWorkerIdBytes; ++i) peer.nonce = peer.nonce << 8 | id[i];
  return peer;
}

Status init_channel_region(ChannelRegion region) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  const int error = pthread_mutex_init(&region.header().lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return error == 0 ? Status() : system_error("make the lock of the channel table", error);
}

Result<OpenChannel> open_channel(ChannelRegion region, Bells& bells, ChannelHost& host, const Peer& self, const Peer& other) {
  if (self == other || other.slot >= kMailboxes) return Status(Code::kInvalidArgument, "open a channel to " + name_of(other));
  uint32_t free = kMaxChannels;
  {
    const TableLock lock(region);
    if (!lock.status().ok()) return lock.status();
    // Under the lock: a peer that dies later than this has its channels closed after this one is in the table.
    if (!host.is_live(other)) return Status(Code::kPeerGone, "open a channel to " + name_of(other) + ": it is not attached");
    for (uint32_t channel = 0; channel < kMaxChannels; ++channel) {
      const ChannelRecord& record = region.record(channel);
      const uint64_t state = record.state.load(std::memory_order_acquire);
      if (is_free(state)) {
        if (free == kMaxChannels) free = channel;
      } else if (is_open_to_both(state) && side_of(record, self) >= 0 && side_of(record, other) >= 0) {
        return OpenChannel{channel, side_of(record, self)};
      }
    }
    if (free == kMaxChannels) return Status(Code::kTooManyChannels, "open a channel to " + name_of(other) + ": all are in use");
    Status status = fill_in(region, host, free, self, other);
    if (!status.ok()) return status;
  }
  bells.attend(other.slot, free);
  return OpenChannel{free, 0};
}

void leave_channel(ChannelRegion region, Bells& bells, uint32_t channel, int side) {
  ChannelRecord& record = region.record(channel);
  const uint32_t other_slot = record.peer_slot[1 - side];  // before: once both have left, the record may be filled in anew
  const uint64_t before = record.state.fetch_or(left(side), std::memory_order_acq_rel);
  EAGLERAY_FAULT("channel.left");
  if ((before & left(1 - side)) == 0 && other_slot < kMailboxes) bells.attend(other_slot, channel);
}

Status close_channels_of(ChannelRegion region, Bells& bells, const Peer& gone, bool died) {
  if (gone.slot >= kMailboxes) return Status(Code::kInvalidArgument, "close the channels of " + name_of(gone));
  end_spin(region, gone.slot);
  region.mailbox(gone.slot).sleeping.store(0, std::memory_order_relaxed);
  const TableLock lock(region);
  if (!lock.status().ok()) return lock.status();
  for (uint32_t channel = 0; channel < kMaxChannels; ++channel) {
    ChannelRecord& record = region.record(channel);
    const uint64_t state = record.state.load(std::memory_order_acquire);
    if (is_free(state)) continue;
    const int side = side_of(record, gone);
    if (side < 0) continue;
    const uint32_t other_slot = record.peer_slot[1 - side];
    // Not when it left by itself: then it closed, and the other side may be told so still.
    const uint64_t leaves = left(side) | (died ? channel_state::died(side) : 0);
    if ((state & left(side)) == 0) record.state.fetch_or(leaves, std::memory_order_acq_rel);
    EAGLERAY_FAULT("channel.closed");
    if ((state & left(1 - side)) == 0 && other_slot < kMailboxes) bells.attend(other_slot, channel);
  }
  return Status();
}

uint32_t count_channels(ChannelRegion region) {
  uint32_t count = 0;
  for (uint32_t channel = 0; channel < kMaxChannels; ++channel) {
    if (!is_free(region.record(channel).state.load(std::memory_order_relaxed))) ++count;
  }
  return count;
}

std::string check_channels(ChannelRegion region) {
  const TableLock lock(region);
  if (!lock.status().ok()) return lock.status().message();
  for (uint32_t channel = 0; channel < kMaxChannels; ++channel) {
    const ChannelRecord& record = region.record(channel);
    const uint64_t state = record.state.load(std::memory_order_acquire);
    const std::string name = "channel " + std::to_string(channel);
    if ((state & kOpening) != 0) return name + " is half open and nobody is opening it";
    if (is_free(state)) continue;
    if (record.backed != 1) return name + " is open without memory";
    if (record.peer_slot[0] >= kMailboxes || record.peer_slot[1] >= kMailboxes) return name + " has a peer in no slot";
  }
  return "";
}

}  // namespace eagleray
