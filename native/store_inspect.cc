// SPDX-License-Identifier: Apache-2.0
// What the store can say about itself: list, stats, clients, check.
#include <algorithm>
#include <bit>

#include "allocator.h"
#include "channel.h"
#include "object_table.h"
#include "segment_lock.h"
#include "store.h"

namespace eagleray {
namespace {

// Entries looked at in one hold of the lock.
constexpr uint32_t kListStep = 512;

std::vector<uint32_t> pinned_by(const ObjectEntry& entry) {
  std::vector<uint32_t> slots;
  for (uint32_t i = 0; i < kClientWords; i++) {
    for (uint64_t word = entry.pins[i].load(std::memory_order_acquire); word != 0; word &= word - 1) {
      slots.push_back(i * 64 + static_cast<uint32_t>(std::countr_zero(word)));
    }
  }
  return slots;
}

// Each entry's memory is a used block that names it, and there are no other used blocks.
std::optional<std::string> check_ownership(const Segment& segment) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    const ObjectEntry& entry = segment.entry(i);
    if (object_state::state(entry.state.load()) == object_state::kFree) continue;
    const std::string name = "object " + to_hex(load_id(entry));
    if (!segment.block_exists(entry.block)) return name + " has an impossible block";
    const BlockRecord& block = segment.block(entry.block);
    if ((block.kind & block_kind::kUsedBit) == 0 || block.entry != i) return name + " has a block that is not its own";
    if (block.offset != entry.offset || block.size != block_bytes(entry.size)) return name + " has a block of another place or size";
    bytes += block.size;
  }
  // Blocks and entries name each other one to one, so equal sums leave no block over: every block has a size.
  if (bytes != segment.allocator().used_bytes) {
    return "objects take " + std::to_string(bytes) + " bytes and the allocator counts " + std::to_string(segment.allocator().used_bytes);
  }
  return std::nullopt;
}

// Pins only by clients that are attached.
std::optional<std::string> check_pins(const Segment& segment) {
  uint64_t attached[kClientWords] = {};
  for (uint32_t slot = 0; slot < kMaxClients; slot++) {
    const uint64_t state = client_state::state(segment.client(slot).state.load());
    if (state == client_state::kLive || state == client_state::kReaping) attached[slot / 64] |= 1ull << (slot % 64);
  }
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    const ObjectEntry& entry = segment.entry(i);
    for (uint32_t word = 0; word < kClientWords; word++) {
      const uint64_t strangers = entry.pins[word].load() & ~attached[word];
      if (strangers != 0) {
        const uint32_t slot = word * 64 + static_cast<uint32_t>(std::countr_zero(strangers));
        return "object " + to_hex(load_id(entry)) + " is pinned by slot " + std::to_string(slot) + ", where nobody is attached";
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<ObjectInfo>> Store::list() {
  std::vector<ObjectInfo> objects;
  uint32_t next = 0;
  for (bool more = true; more;) {
    SegmentLock lock(segment(), client_->slot(), client_->generation());
    if (!lock.ok()) return lock.status();
    const uint32_t end = std::min(next + kListStep, segment().entry_end());
    for (; next < end; next++) {
      const ObjectEntry& entry = segment().entry(next);
      const uint64_t state = object_state::state(entry.state.load(std::memory_order_acquire));
      if (state == object_state::kFree) continue;
      const uint64_t created_at_ms = static_cast<uint64_t>(entry.created_seconds) * 1000 + entry.created_millis;
      objects.push_back({load_id(entry), entry.size, state, entry.creator_slot, created_at_ms, pinned_by(entry)});
    }
    more = next < segment().entry_end();
  }
  return objects;
}

Result<StoreStats> Store::stats() {
  const Segment& segment = this->segment();
  StoreStats stats;
  stats.capacity_bytes = segment.layout().heap_bytes;
  stats.table_capacity = segment.layout().table_capacity;
  stats.clients = static_cast<uint32_t>(clients().size());
  stats.channels = count_channels(segment.channels());
  SegmentLock lock(this->segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  const Allocator allocator(this->segment());
  stats.used_bytes = allocator.used_bytes();
  stats.largest_free_bytes = allocator.largest_free();
  stats.reserved_bytes = segment.header().heap_backed.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    const ObjectEntry& entry = segment.entry(i);
    const uint64_t state = object_state::state(entry.state.load(std::memory_order_acquire));
    stats.creating += state == object_state::kCreating;
    stats.sealed += state == object_state::kSealed;
    stats.deleting += state == object_state::kDeleting;
    if (state == object_state::kFree) continue;
    for (const std::atomic<uint64_t>& pins : entry.pins) {
      stats.pins += static_cast<uint64_t>(std::popcount(pins.load(std::memory_order_relaxed)));
    }
  }
  stats.objects = stats.creating + stats.sealed + stats.deleting;
  return stats;
}

std::vector<ClientInfo> Store::clients() {
  std::vector<ClientInfo> found;
  ClientInfo info;
  for (uint32_t slot = 0; slot < kMaxClients; slot++) {
    if (client_info(segment(), slot, &info)) found.push_back(info);
  }
  return found;
}

Result<std::optional<std::string>> Store::check() {
  const std::string channels = check_channels(segment().channels());
  if (!channels.empty()) return std::optional<std::string>(channels);
  SegmentLock lock(segment(), client_->slot(), client_->generation());
  if (!lock.ok()) return lock.status();
  std::optional<std::string> wrong = ObjectTable(segment()).check();
  if (!wrong.has_value()) wrong = Allocator(segment()).check();
  if (!wrong.has_value()) wrong = check_ownership(segment());
  if (!wrong.has_value()) wrong = check_pins(segment());
  return wrong;
}

}  // namespace eagleray
