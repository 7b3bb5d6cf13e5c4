// SPDX-License-Identifier: Apache-2.0
// A ring of packets from one producer to one consumer, over memory that both map. Neither trusts what the other wrote:
// garbage gives kCorrupt and never an access outside the ring.
//
// A packet is a header of 8 bytes (length, length ^ kLengthSeal), the bytes, and padding to the next multiple of 8. It may wrap
// around the end of the ring; the header never does, since positions are multiples of 8.
#pragma once

#include <cstddef>
#include <cstdint>

#include "channel_layout.h"

namespace eagleray {

inline constexpr uint32_t kLengthSeal = 0x5EA1ED01;
inline constexpr uint32_t kPacketHeaderBytes = 8;

// Bytes of ring that a packet of `length` takes.
constexpr uint64_t packet_span(uint64_t length) { return kPacketHeaderBytes + ((length + 7) & ~uint64_t{7}); }

enum class RingResult { kOk, kFull, kEmpty, kTooLong, kCorrupt };

// The producer's end. Keeps its own position, so a peer that scribbles over `tail` cannot move it. Starts at 0: a ring has one
// writer and one reader for its whole life.
class RingWriter {
 public:
  RingWriter() = default;
  RingWriter(RingControl& control, std::byte* bytes) : control_(&control), bytes_(bytes) {}

  // Publishes one packet, or writes nothing: kFull, kTooLong (> kPacketBytesMax), kCorrupt (the consumer's position is impossible).
  RingResult write(const void* packet, uint32_t length);
  // Asks to be told of room. Call after kFull, then try `write` once more: room made in between is not announced.
  void wait_for_room();
  // Takes the wish back.
  void stop_waiting() { control_->writer_waiting.store(0, std::memory_order_relaxed); }

 private:
  RingControl* control_ = nullptr;
  std::byte* bytes_ = nullptr;
  uint64_t tail_ = 0;
  uint64_t head_seen_ = 0;
};

// The consumer's end.
class RingReader {
 public:
  RingReader() = default;
  RingReader(RingControl& control, std::byte* bytes) : control_(&control), bytes_(bytes) {}

  // Whether there is anything to read (or to find corrupt).
  bool ready() const { return control_->tail.load(std::memory_order_acquire) != head_; }
  // Copies the next packet to `target` and sets `length`. kEmpty; kTooLong: longer than `capacity`, nothing was taken; kCorrupt: for good.
  RingResult read(void* target, uint32_t capacity, uint32_t* length);
  // Gives the room of what was read back to the producer. True when it waits and now finds at least half of the ring free:
  // the caller tells it.
  bool release_room();

 private:
  RingControl* control_ = nullptr;
  std::byte* bytes_ = nullptr;
  uint64_t head_ = 0;
  uint64_t tail_seen_ = 0;
};

}  // namespace eagleray
