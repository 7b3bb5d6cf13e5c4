// SPDX-License-Identifier: Apache-2.0
#include "store_channels.h"

#include "hooks.h"

namespace eagleray {
namespace {

void ring(Client& from, uint32_t slot) { from.bells().wake_sealed(slot); }

void rouse(Client& from, uint32_t slot) { from.bells().rouse(slot); }

void client_gone(Client& from, uint32_t slot, bool died) {
  // The record still names the one who is gone: the slot is given on only after this.
  const Peer gone = peer_of(from.segment().client(slot).worker_id);
  // A broken lock of the channel table fails every later connect with its own error; reaping the rest goes on.
  (void)close_channels_of(from.segment().channels(), from.bells(), gone, died);
}

}  // namespace

void connect_store_to_channels() { set_store_hooks({ring, client_gone, rouse}); }

bool SegmentHost::is_live(const Peer& peer) {
  ClientInfo info;
  return client_info(segment_, peer.slot, &info) && info.live && peer_of(info.worker_id) == peer;
}

Status SegmentHost::reserve(uint64_t offset, uint64_t bytes) { return segment_.ensure_backed(segment_.layout().channels + offset, bytes); }

}  // namespace eagleray
