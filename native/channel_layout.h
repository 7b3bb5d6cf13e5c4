// SPDX-License-Identifier: Apache-2.0
// The channel region of a segment: what every process sees of mailboxes, channels and rings.
//
//   offset   0 +-----------------------------------------+
//              | ChannelHeader   lock, spinning slots     |  one page
//              +-----------------------------------------+
//              | Mailbox[512]    one a client slot        |  320 bytes each: flags, then a bit a channel
//              +-----------------------------------------+
//              | ChannelRecord[2048]                      |  64 bytes each: state word, the two peers
//              +-----------------------------------------+  kChannelControlBytes: reserved when the segment is made
//              | ChannelBody[2048]                        |  one page of control and claims, then two rings;
//              |                                          |  reserved when the record is first used
//              +-----------------------------------------+  kChannelRegionBytes
//
// Zero bytes are a valid beginning of everything but the lock.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace eagleray {

inline constexpr uint32_t kMaxChannels = 2048;
inline constexpr uint32_t kMailboxes = 512;  // = kMaxClients of layout.h, which asserts it
inline constexpr uint32_t kRingBytes = 256 * 1024;
inline constexpr uint32_t kPacketBytesMax = 128 * 1024;
inline constexpr uint32_t kClaimWords = 256;
inline constexpr size_t kChannelPage = 4096;

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

struct ChannelHeader {
  // Guards the opening of channels and the reaping of a client's; robust, so a holder may die.
  pthread_mutex_t lock;
  // Bit s: the process in slot s polls its rings hot. A bit and not a count, so that the reaper can take back a dead process's share.
  alignas(64) std::atomic<uint64_t> spinning[kMailboxes / 64];
  alignas(64) std::byte unused[kChannelPage - 128];
};

struct Mailbox {
  // 1: the owner blocks, or is about to: whoever exchanges it to 0 rings its bell.
  alignas(64) std::atomic<uint32_t> sleeping;
  // 1: an object the owner expects may have been sealed.
  std::atomic<uint32_t> sealed;
  // Grows with every bit set in `attention`, after the bit: a cheap "nothing new".
  std::atomic<uint32_t> attention_count;
  // Bit c: look at channel c: it was opened, closed, or has room again. Bits may be stale or spurious: the record decides.
  alignas(64) std::atomic<uint64_t> attention[kMaxChannels / 64];
};

// The state word of a channel: generation << 8 | flags. The generation grows with each opening.
//
//   0 or kLeft0|kLeft1 : free                kOpening : being filled in by the holder of the lock
//   kOpen              : both sides use it   kOpen|kLeftN : side N has closed or died (kDiedN)
//
// A side touches the record and its body only while its own kLeft bit is clear; whoever is last to leave makes the record free
// by that alone, so there is no half-freed state to repair.
namespace channel_state {
inline constexpr uint64_t kOpening = 1;
inline constexpr uint64_t kOpen = 2;
inline constexpr uint64_t kLeft0 = 4;
inline constexpr uint64_t kLeft1 = 8;
inline constexpr uint64_t kDied0 = 16;
inline constexpr uint64_t kDied1 = 32;
inline constexpr uint64_t kGeneration = 256;

constexpr uint64_t left(int side) { return side == 0 ? kLeft0 : kLeft1; }
constexpr uint64_t died(int side) { return side == 0 ? kDied0 : kDied1; }
constexpr bool is_free(uint64_t state) {
  return (state & (kOpening | kOpen)) == 0 || (state & (kLeft0 | kLeft1)) == (kLeft0 | kLeft1);
}
}  // namespace channel_state

struct alignas(64) ChannelRecord {
  std::atomic<uint64_t> state;
  // Who the sides are: written while kOpening, constant while kOpen. Side 0 opened it.
  uint64_t peer_nonce[2];
  uint32_t peer_slot[2];
  // 1 once the body's pages are reserved in the file; never goes back.
  uint32_t backed;
};

// One direction. Positions count bytes ever written and never wrap; position modulo kRingBytes is the place in the ring.
struct RingControl {
  alignas(64) std::atomic<uint64_t> tail;  // written by the producer alone, after the bytes
  alignas(64) std::atomic<uint64_t> head;  // written by the consumer alone, after it has copied them out
  // 1: the producer found the ring full and wants to hear of room. Set by the producer, taken by the consumer.
  alignas(64) std::atomic<uint32_t> writer_waiting;
};

struct alignas(kChannelPage) ChannelBody {
  // Index = the side that produces (rings), or whose tasks they are (claims).
  RingControl ring[2];
  alignas(64) std::atomic<int32_t> claims[2][kClaimWords];
  alignas(kChannelPage) std::byte bytes[2][kRingBytes];
};

inline constexpr size_t kMailboxOffset = sizeof(ChannelHeader);
inline constexpr size_t kChannelRecordOffset = kMailboxOffset + kMailboxes * sizeof(Mailbox);
inline constexpr size_t kChannelControlBytes = kChannelRecordOffset + kMaxChannels * sizeof(ChannelRecord);
inline constexpr size_t kChannelBodyOffset = kChannelControlBytes;
inline constexpr size_t kChannelRegionBytes = kChannelBodyOffset + kMaxChannels * sizeof(ChannelBody);

static_assert(sizeof(pthread_mutex_t) <= 64);
static_assert(sizeof(ChannelHeader) == kChannelPage && offsetof(ChannelHeader, spinning) == 64);
static_assert(sizeof(Mailbox) == 320 && offsetof(Mailbox, attention) == 64);
static_assert(sizeof(ChannelRecord) == 64 && offsetof(ChannelRecord, peer_nonce) == 8 && offsetof(ChannelRecord, peer_slot) == 24);
static_assert(sizeof(RingControl) == 192 && offsetof(RingControl, head) == 64 && offsetof(RingControl, writer_waiting) == 128);
static_assert(offsetof(ChannelBody, claims) == 384 && offsetof(ChannelBody, bytes) == kChannelPage);
static_assert(sizeof(ChannelBody) == kChannelPage + 2 * kRingBytes);
static_assert(kChannelControlBytes % kChannelPage == 0 && kChannelRegionBytes % kChannelPage == 0);

// The region as one process maps it.
class ChannelRegion {
 public:
  explicit ChannelRegion(std::byte* base) : base_(base) {}
  ChannelHeader& header() const { return *reinterpret_cast<ChannelHeader*>(base_); }
  Mailbox& mailbox(uint32_t slot) const { return reinterpret_cast<Mailbox*>(base_ + kMailboxOffset)[slot]; }
  ChannelRecord& record(uint32_t channel) const { return reinterpret_cast<ChannelRecord*>(base_ + kChannelRecordOffset)[channel]; }
  ChannelBody& body(uint32_t channel) const { return reinterpret_cast<ChannelBody*>(base_ + kChannelBodyOffset)[channel]; }

 private:
  std::byte* base_;
};

}  // namespace eagleray
