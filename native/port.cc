// SPDX-License-Identifier: Apache-2.0
#include "port.h"

#include <algorithm>
#include <bit>

#include "fault_points.h"
#include "full_fence.h"
#include "spinners.h"

namespace eagleray {

using Kind = PortEvent::Kind;

struct Port::Inbox {
  std::byte* bytes;
  uint32_t capacity;
  int32_t* index;
  uint32_t slots;  // packets the index has room for
  uint32_t used = 0;
  uint32_t count = 0;
};

Port::Port(ChannelRegion region, Bells& bells, ChannelHost& host, const Peer& self)
    : region_(region), bells_(bells), host_(host), self_(self), mailbox_(region.mailbox(self.slot)), links_(kMaxChannels) {
  attention_seen_ = mailbox_.attention_count.load(std::memory_order_relaxed) - 1;  // look once whatever the count is
}

Status Port::open(const std::string& directory) { return bell_.open(directory, self_.slot); }

void Port::close() {
  if (closed_) return;
  closed_ = true;
  while (!open_.empty()) disconnect(open_.back());
  awake();
  end_spin(region_, self_.slot);
  bell_.close();
}

Result<uint32_t> Port::connect(const Peer& other) {
  Result<OpenChannel> opened = open_channel(region_, bells_, host_, self_, other);
  if (!opened.ok()) return opened.status();
  add(opened.value().channel, opened.value().side);
  return opened.value().channel;
}

void Port::add(uint32_t channel, int side) {
  if (links_[channel] != nullptr) return;
  ChannelBody& body = region_.body(channel);
  auto link = std::make_unique<Link>();
  link->writer = RingWriter(body.ring[side], body.bytes[side]);
  link->reader = RingReader(body.ring[1 - side], body.bytes[1 - side]);
  link->side = side;
  const ChannelRecord& record = region_.record(channel);
  link->peer = Peer{record.peer_slot[1 - side], record.peer_nonce[1 - side]};
  links_[channel] = std::move(link);
  open_.push_back(channel);
}

void Port::drop(uint32_t channel) {
  links_[channel].reset();
  std::erase(open_, channel);
  if (turn_ >= open_.size()) turn_ = 0;
}

Port::Sent Port::send(uint32_t channel, const void* bytes, uint32_t length) {
  if (channel >= kMaxChannels || links_[channel] == nullptr) return Sent::kUnknown;
  if (length > kPacketBytesMax) return Sent::kTooLong;
  Link& link = *links_[channel];
  if (link.left || link.corrupt || link.ended) return Sent::kSent;
  RingResult result = link.writer.write(bytes, length);
  if (result == RingResult::kFull) {
    link.writer.wait_for_room();
    result = link.writer.write(bytes, length);
    if (result == RingResult::kOk) link.writer.stop_waiting();
  }
  if (result == RingResult::kFull) {
    link.blocked = true;
    return Sent::kFull;
  }
  if (result == RingResult::kCorrupt) {
    link.corrupt = true;
  } else {
    bells_.wake(link.peer.slot);
  }
  return Sent::kSent;
}

bool Port::claims(uint32_t channel, std::atomic<int32_t>** mine, std::atomic<int32_t>** theirs) {
  if (channel >= kMaxChannels || links_[channel] == nullptr) return false;
  const int side = links_[channel]->side;
  *mine = region_.body(channel).claims[side];
  *theirs = region_.body(channel).claims[1 - side];
  return true;
}

bool Port::disconnect(uint32_t channel) {
  if (channel >= kMaxChannels || links_[channel] == nullptr) return false;
  const int side = links_[channel]->side;
  drop(channel);
  std::erase_if(events_, [&](const PortEvent& event) { return event.channel == channel; });
  leave_channel(region_, bells_, channel, side);
  return true;
}

bool Port::pending() const {
  if (mailbox_.attention_count.load(std::memory_order_acquire) != attention_seen_) return true;
  if (mailbox_.sealed.load(std::memory_order_acquire) != 0 || !events_.empty()) return true;
  for (const uint32_t channel : open_) {
    const Link& link = *links_[channel];
    if (!link.ended && (link.reader.ready() || link.left || link.corrupt)) return true;
  }
  return false;
}

void Port::look() {
  const uint32_t count = mailbox_.attention_count.load(std::memory_order_acquire);
  if (count == attention_seen_) return;
  attention_seen_ = count;
  for (uint32_t word = 0; word < kMaxChannels / 64; ++word) {
    if (mailbox_.attention[word].load(std::memory_order_relaxed) == 0) continue;
    uint64_t bits = mailbox_.attention[word].exchange(0, std::memory_order_acquire);
    for (; bits != 0; bits &= bits - 1) look_at(word * 64 + static_cast<uint32_t>(std::countr_zero(bits)));
  }
}

// The bit may be stale, and the record about other processes by now: a side is ours only while we have not left it.
void Port::look_at(uint32_t channel) {
  const ChannelRecord& record = region_.record(channel);
  const uint64_t state = record.state.load(std::memory_order_acquire);
  if (channel_state::is_free(state) || (state & channel_state::kOpen) == 0) return;
  for (int side = 0; side < 2; ++side) {
    if (!(Peer{record.peer_slot[side], record.peer_nonce[side]} == self_) || (state & channel_state::left(side)) != 0) continue;
    if (record.peer_slot[1 - side] >= kMailboxes || record.backed != 1) return;  // not what open_channel writes
    if (links_[channel] == nullptr) {
      add(channel, side);
      events_.push_back({Kind::kOpened, channel, record.peer_slot[1 - side]});
    }
    Link& link = *links_[channel];
    if (link.ended) return;
    link.left = (state & channel_state::left(1 - side)) != 0;
    link.died = (state & channel_state::died(1 - side)) != 0;
    if (link.blocked && !link.left) {
      link.blocked = false;
      events_.push_back({Kind::kWritable, channel, link.peer.slot});
    }
    return;
  }
}

uint32_t Port::drain(std::byte* bytes, uint32_t capacity, int32_t* index, uint32_t index_length) {
  Inbox inbox{bytes, capacity, index, index_length / 3};
  // With several channels, each gets a quarter at least of what a drain can take before the next has its turn.
  const uint32_t share = open_.size() > 1 ? 4 : 1;
  const Quota quota{capacity / share, std::max(1u, inbox.slots / share)};
  const size_t channels = open_.size();
  bool room = true;
  size_t visited = 0;
  for (; visited < channels && room; ++visited) {
    const uint32_t channel = open_[(turn_ + visited) % channels];
    Link& link = *links_[channel];
    if (link.ended) continue;
    if (link.reader.ready() && !link.corrupt) room = drain_link(channel, link, quota, inbox);
    if (link.corrupt || (link.left && !link.reader.ready())) {
      link.ended = true;
      events_.push_back({link.corrupt ? Kind::kCorrupt : link.died ? Kind::kDied : Kind::kClosed, channel, link.peer.slot});
    }
  }
  if (channels > 0) turn_ = (turn_ + visited) % channels;
  return inbox.count;
}

// False when the inbox has no room for the next packet of this channel.
bool Port::drain_link(uint32_t channel, Link& link, Quota quota, Inbox& inbox) {
  bool room = true;
  const uint32_t bytes_end = inbox.used + quota.bytes;
  const uint32_t count_end = inbox.count + quota.packets;
  while (inbox.used < bytes_end && inbox.count < count_end) {
    room = inbox.count < inbox.slots;
    if (!room) break;
    uint32_t length = 0;
    const RingResult result = link.reader.read(inbox.bytes + inbox.used, inbox.capacity - inbox.used, &length);
    if (result == RingResult::kTooLong) room = false;
    if (result == RingResult::kCorrupt) link.corrupt = true;
    if (result != RingResult::kOk) break;
    int32_t* entry = inbox.index + 3 * inbox.count++;
    entry[0] = static_cast<int32_t>(channel);
    entry[1] = static_cast<int32_t>(inbox.used);
    entry[2] = static_cast<int32_t>(length);
    // Multiples of 8, so that a reader may lay typed arrays over packets.
    inbox.used = std::min(inbox.capacity, (inbox.used + length + 7) & ~7u);
  }
  if (link.reader.release_room() && !link.left) bells_.attend(link.peer.slot, channel);
  return room;
}

bool Port::next_event(PortEvent* event) {
  if (events_.empty()) return false;
  *event = events_.front();
  events_.pop_front();
  return true;
}

bool Port::take_sealed() {
  return mailbox_.sealed.load(std::memory_order_acquire) != 0 && mailbox_.sealed.exchange(0, std::memory_order_acquire) != 0;
}

bool Port::prepare_sleep() {
  mailbox_.sleeping.store(1, std::memory_order_relaxed);
  EAGLERAY_FAULT("sleep.announced");
  full_fence();
  if (!pending()) return true;
  awake();
  return false;
}

void Port::awake() { mailbox_.sleeping.store(0, std::memory_order_relaxed); }

}  // namespace eagleray
