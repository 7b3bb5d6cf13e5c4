// SPDX-License-Identifier: Apache-2.0
// Opening, leaving and reaping channels: one duplex channel a pair of processes, a record in the channel table. What the records
// mean stands in channel_layout.h; what flows through them in port.h.
#pragma once

#include <cstdint>

#include "channel_layout.h"
#include "object_id.h"
#include "status.h"
#include "wake.h"

namespace eagleray {

// One attachment of one process: a slot is used again, a slot with its nonce is not.
struct Peer {
  uint32_t slot = 0;
  uint64_t nonce = 0;
  bool operator==(const Peer&) const = default;
};

Peer peer_of(const WorkerId& id);

// What opening a channel asks of the segment around the region.
class ChannelHost {
 public:
  virtual ~ChannelHost() = default;
  // Whether the peer is attached. Must turn false before close_channels_of is called for it.
  virtual bool is_live(const Peer& peer) = 0;
  // Reserves `bytes` of the file from `offset` of the channel region on, so that touching them cannot fail.
  virtual Status reserve(uint64_t offset, uint64_t bytes) = 0;
};

struct OpenChannel {
  uint32_t channel;
  int side;  // 0: opened it, 1: was opened to
};

// Makes zeroed control bytes a valid channel region. Once, by whoever makes the segment.
Status init_channel_region(ChannelRegion region);

// The channel between two processes: the one that is open, or a new one, of which the other is told.
// kPeerGone, kTooManyChannels, kInvalidArgument (to oneself), kStoreSpace.
Result<OpenChannel> open_channel(ChannelRegion region, Bells& bells, ChannelHost& host, const Peer& self, const Peer& other);

// Ends one side's use of a channel and tells the other side. Nothing of the channel may be touched afterwards.
void leave_channel(ChannelRegion region, Bells& bells, uint32_t channel, int side);

// Leaves every channel of a process that is gone (`died`) or going on its behalf, and frees its place among the spinners.
// Idempotent: a reaper that dies in the middle is completed by the next.
Status close_channels_of(ChannelRegion region, Bells& bells, const Peer& gone, bool died);

// Channels in use by at least one side.
uint32_t count_channels(ChannelRegion region);

// What is wrong with the channel table, or an empty string: for the store's check().
std::string check_channels(ChannelRegion region);

}  // namespace eagleray
