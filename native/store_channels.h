// SPDX-License-Identifier: Apache-2.0
// Where the store and the channels meet: a sealed object rings bells, and a client that is gone has its channels closed.
#pragma once

#include "channel.h"
#include "client.h"

namespace eagleray {

// Makes the store use the channels. Once a process, before the first client is made.
void connect_store_to_channels();

// The segment as channels see it.
class SegmentHost final : public ChannelHost {
 public:
  explicit SegmentHost(Segment& segment) : segment_(segment) {}
  bool is_live(const Peer& peer) override;
  Status reserve(uint64_t offset, uint64_t bytes) override;

 private:
  Segment& segment_;
};

}  // namespace eagleray
