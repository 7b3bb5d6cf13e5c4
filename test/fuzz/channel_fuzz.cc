// SPDX-License-Identifier: Apache-2.0
// Any bytes from a peer, in mailboxes, channel records, positions, claims and rings: a port gives packets or an end, and touches
// nothing outside of its channel. The input: changes and turns of the port, in any order.
#include <sys/mman.h>

#include <memory>
#include <vector>

#include "channel.h"
#include "input.h"
#include "port.h"

namespace {

using namespace eagleray;
using namespace eagleray::fuzz;

class Host final : public ChannelHost {
 public:
  bool is_live(const Peer&) override { return true; }
  Status reserve(uint64_t, uint64_t) override { return Status(); }
};

constexpr uint32_t kChannels = 3;  // those that are changed

// The region up to as many bodies as one input can open; a port that reaches beyond meets memory that nobody may touch.
class Region {
 public:
  Region() {
    void* base = mmap(nullptr, kChannelRegionBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED || mprotect(base, kUsed, PROT_READ | PROT_WRITE) != 0) std::abort();
    base_ = static_cast<std::byte*>(base);
    if (!init_channel_region(region()).ok()) std::abort();
    std::memcpy(&mutex_, &region().header().lock, sizeof mutex_);
  }
  ChannelRegion region() const { return ChannelRegion(base_); }
  void reset() {
    std::memset(base_ + sizeof mutex_, 0, kChannelControlBytes - sizeof mutex_);
    for (uint32_t i = 0; i < kChannels; i++) std::memset(static_cast<void*>(&region().body(i)), 0, kChannelPage + 4096);
  }

  void change(Input& input) {
    const auto at = [](auto& first) { return reinterpret_cast<std::byte*>(&first); };
    ChannelBody& body = region().body(input.take<uint8_t>() % kChannels);
    switch (input.take<uint8_t>() % 6) {
      case 0: input.change(at(region().mailbox(0)), 2 * sizeof(Mailbox)); break;
      case 1: input.change(at(region().record(0)), kChannels * sizeof(ChannelRecord)); break;
      case 2: input.change(at(body.ring[0]), 2 * sizeof(RingControl)); break;
      case 3: input.change(at(body.claims[0][0]), sizeof body.claims); break;
      default: {
        // A header that checks, or bytes as they come.
        std::byte* const ring = body.bytes[input.take<uint8_t>() % 2];
        const uint32_t where = input.take<uint8_t>() * 8u, length = input.take<uint32_t>();
        const uint32_t words[2] = {length, length ^ kLengthSeal};
        std::memcpy(ring + where, words, sizeof words);
        body.ring[where / 8 % 2].tail.fetch_add(packet_span(length % 4096));
        break;
      }
    }
    std::memcpy(static_cast<void*>(&region().header().lock), &mutex_, sizeof mutex_);  // rubbish in it is not defined: docs/adr/0003
  }

 private:
  static constexpr size_t kUsed = kChannelBodyOffset + (kChannels + 24 + 1) * sizeof(ChannelBody);
  std::byte* base_ = nullptr;
  pthread_mutex_t mutex_{};
};

void turn(Port& port, Input& input) {
  static std::vector<std::byte> inbox(kPacketBytesMax);
  int32_t index[24];
  port.look();
  const uint32_t count = port.drain(inbox.data(), kPacketBytesMax, index, 24);
  for (uint32_t i = 0; i < count; i++) {
    if (index[3 * i + 1] < 0 || index[3 * i + 2] < 0 || index[3 * i + 1] + index[3 * i + 2] > static_cast<int32_t>(kPacketBytesMax)) std::abort();
  }
  PortEvent event;
  for (int i = 0; i < 8 && port.next_event(&event); i++) {
    if (event.kind == PortEvent::Kind::kCorrupt) (void)port.disconnect(event.channel);
  }
  (void)port.take_sealed();
  if (port.prepare_sleep()) port.awake();
  const uint32_t channel = input.take<uint8_t>() % (kChannels + 1);
  (void)port.send(channel, inbox.data(), input.take<uint16_t>());
  std::atomic<int32_t>*mine = nullptr, *theirs = nullptr;
  if (port.claims(channel, &mine, &theirs)) mine[1].store(theirs[kClaimWords - 1].load());
  if (input.take<uint8_t>() % 8 == 0) (void)port.disconnect(channel);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Region* const memory = new Region;
  memory->reset();
  // Nobody's bells: the directory is not there.
  static Bells* const bells = new Bells(memory->region(), "/nonexistent");
  Host host;
  const Peer self{0, 1}, other{1, 2};
  Port port(memory->region(), *bells, host, self), peer(memory->region(), *bells, host, other);
  if (!port.connect(other).ok()) std::abort();
  (void)peer.send(0, "hello", 5);
  Input input(data, size);
  for (int step = 0; step < 24 && !input.empty(); step++) {
    const uint8_t what = input.take<uint8_t>();
    if (what % 4 == 0) (void)port.connect(Peer{what % 3u, what % 2u + 1u});
    if (what % 4 != 1) memory->change(input);
    turn(what % 2 == 0 ? port : peer, input);
  }
  (void)check_channels(memory->region());
  (void)close_channels_of(memory->region(), *bells, other, true);
  return 0;
}
