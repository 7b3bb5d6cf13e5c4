// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <algorithm>
#include <cstring>

#include "fault_points.h"
#include "full_fence.h"

namespace eagleray {
namespace {

constexpr uint64_t kMask = kRingBytes - 1;
static_assert((kRingBytes & kMask) == 0 && packet_span(kPacketBytesMax) <= kRingBytes);

struct PacketHeader {
  uint32_t length;
  uint32_t seal;
};
static_assert(sizeof(PacketHeader) == kPacketHeaderBytes);

void copy_in(std::byte* ring, uint64_t position, const void* source, uint32_t length) {
  if (length == 0) return;  // and `source` may be null
  const uint64_t at = position & kMask;
  const uint64_t first = std::min<uint64_t>(length, kRingBytes - at);
  std::memcpy(ring + at, source, first);
  if (first < length) std::memcpy(ring, static_cast<const std::byte*>(source) + first, length - first);
}

void copy_out(const std::byte* ring, uint64_t position, void* target, uint32_t length) {
  if (length == 0) return;
  const uint64_t at = position & kMask;
  const uint64_t first = std::min<uint64_t>(length, kRingBytes - at);
  std::memcpy(target, ring + at, first);
  if (first < length) std::memcpy(static_cast<std::byte*>(target) + first, ring, length - first);
}

// A distance between positions that both ends can have produced.
bool plausible(uint64_t used) { return used <= kRingBytes && used % 8 == 0; }

}  // namespace

RingResult RingWriter::write(const void* packet, uint32_t length) {
  if (length > kPacketBytesMax) return RingResult::kTooLong;
  const uint64_t span = packet_span(length);
  if (tail_ + span - head_seen_ > kRingBytes) {
    const uint64_t head = control_->head.load(std::memory_order_acquire);
    if (!plausible(tail_ - head)) return RingResult::kCorrupt;
    head_seen_ = head;
    if (tail_ + span - head > kRingBytes) return RingResult::kFull;
  }
  const PacketHeader header{length, length ^ kLengthSeal};
  std::memcpy(bytes_ + (tail_ & kMask), &header, sizeof header);
  copy_in(bytes_, tail_ + kPacketHeaderBytes, packet, length);
  EAGLERAY_FAULT("ring.filled");
  tail_ += span;
  control_->tail.store(tail_, std::memory_order_release);
  EAGLERAY_FAULT("ring.published");
  return RingResult::kOk;
}

void RingWriter::wait_for_room() {
  control_->writer_waiting.store(1, std::memory_order_relaxed);
  // Pairs with the fence in release_room: either the consumer sees the wish, or the next write sees the room.
  full_fence();
}

RingResult RingReader::read(void* target, uint32_t capacity, uint32_t* length) {
  if (tail_seen_ == head_) {
    const uint64_t tail = control_->tail.load(std::memory_order_acquire);
    if (tail == head_) return RingResult::kEmpty;
    if (!plausible(tail - head_)) return RingResult::kCorrupt;
    tail_seen_ = tail;
  }
  PacketHeader header;  // copied once, then checked: the peer may change it meanwhile
  std::memcpy(&header, bytes_ + (head_ & kMask), sizeof header);
  if (header.seal != (header.length ^ kLengthSeal) || header.length > kPacketBytesMax) return RingResult::kCorrupt;
  const uint64_t span = packet_span(header.length);
  if (span > tail_seen_ - head_) return RingResult::kCorrupt;
  if (header.length > capacity) return RingResult::kTooLong;
  copy_out(bytes_, head_ + kPacketHeaderBytes, target, header.length);
  EAGLERAY_FAULT("ring.copied");
  head_ += span;
  *length = header.length;
  return RingResult::kOk;
}

bool RingReader::release_room() {
  control_->head.store(head_, std::memory_order_release);
  EAGLERAY_FAULT("ring.released");
  full_fence();
  if (control_->writer_waiting.load(std::memory_order_relaxed) == 0) return false;
  if (control_->tail.load(std::memory_order_relaxed) - head_ > kRingBytes / 2) return false;
  return control_->writer_waiting.exchange(0, std::memory_order_relaxed) == 1;
}

}  // namespace eagleray
