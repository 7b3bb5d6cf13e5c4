// SPDX-License-Identifier: Apache-2.0
// What the store can say about itself: list, stats, clients, check.
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "allocator.h"
#include "channel.h"
#include "object_table.h"
#include "secondaries.h"
#include "segment_lock.h"
#include "spill_files.h"
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

std::string site_text(const Segment& segment, uint32_t site) {
  if (site == 0 || site > std::min(segment.table().sites, kCallSites)) return "";
  const CallSite& known = segment.site(site - 1);
  return std::string(known.text, strnlen(known.text, sizeof known.text));
}

// Each entry's memory is a used block that names it, and there are no other used blocks; what has none is on disk.
std::optional<std::string> check_ownership(const Segment& segment) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    const ObjectEntry& entry = segment.entry(i);
    if (object_state::state(entry.state.load()) == object_state::kFree) continue;
    const std::string name = "object " + to_hex(load_id(entry));
    const uint64_t state = object_state::state(entry.state.load());
    const bool needs_block = state == object_state::kSealed || state == object_state::kRestoring;
    if (state == object_state::kEvicting) return name + " is being evicted, and nobody holds the lock";
    if (entry.offset.load() == kNowhere || state == object_state::kSpilled) {
      if (needs_block || entry.offset.load() != kNowhere || entry.block != kNone) return name + " has half a place in the heap";
      if (segment.detail(i).file == 0) return name + " is neither in memory nor on disk";
      continue;
    }
    if (!segment.block_exists(entry.block)) return name + " has an impossible block";
    const BlockRecord& block = segment.block(entry.block);
    if ((block.kind & block_kind::kUsedBit) == 0 || block.entry != i) return name + " has a block that is not its own";
    if (block.offset != entry.offset.load() || block.size != block_bytes(entry.size.load())) return name + " has a block of another place or size";
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

std::optional<std::string> check_secondaries(const Segment& segment) {
  for (uint32_t i = 0; i < segment.entry_end(); i++) {
    const ObjectEntry& entry = segment.entry(i);
    if (object_state::state(entry.state.load()) == object_state::kFree || segment.detail(i).secondary == 0) continue;
    if (segment.detail(i).file != 0) return "object " + to_hex(load_id(entry)) + " is a secondary copy and on disk";
  }
  const uint32_t count = count_secondaries(segment);
  if (count == segment.spill().secondaries) return std::nullopt;
  return std::to_string(count) + " objects are secondary copies and " + std::to_string(segment.spill().secondaries) + " are counted";
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
      const ObjectDetail& detail = segment().detail(next);
      std::vector<uint32_t> pinned = pinned_by(entry);
      const uint64_t pinned_at_ms = pinned.empty() ? 0 : detail.pinned_seconds.load(std::memory_order_relaxed) * 1000ull;
      objects.push_back({load_id(entry), entry.size.load(std::memory_order_relaxed), state, entry.creator_slot, created_at_ms, std::move(pinned),
                         pinned_at_ms, entry.offset.load(std::memory_order_relaxed) == kNowhere, detail.secondary != 0, site_text(segment(), detail.site)});
    }
    more = next < segment().entry_end();
  }
  return objects;
}

uint32_t Store::intern_site(const std::string& text) {
  Segment& segment = this->segment();
  SegmentLock lock(segment, client_->slot(), client_->generation());
  if (!lock.ok()) return 0;
  const std::string kept = text.substr(0, sizeof(CallSite::text) - 1);
  uint32_t& sites = segment.table().sites;
  for (uint32_t site = 1; site <= std::min(sites, kCallSites); site++) {
    if (site_text(segment, site) == kept) return site;
  }
  if (sites >= kCallSites) return 0;
  std::memset(segment.site(sites).text, 0, sizeof(CallSite::text));
  std::memcpy(segment.site(sites).text, kept.data(), kept.size());
  return ++sites;
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
    stats.sealed += object_state::is_present(entry.state.load(std::memory_order_relaxed));
    stats.spilled += state == object_state::kSpilled || state == object_state::kRestoring;
    stats.deleting += state == object_state::kDeleting;
    if (state == object_state::kFree) continue;
    if (segment.detail(i).secondary != 0) {
      stats.secondary++;
      stats.secondary_bytes += block_bytes(entry.size.load(std::memory_order_relaxed));
    }
    for (const std::atomic<uint64_t>& pins : entry.pins) {
      stats.pins += static_cast<uint64_t>(std::popcount(pins.load(std::memory_order_relaxed)));
    }
  }
  const SpillState& spill = segment.spill();
  stats.disk_bytes = spill.disk_bytes;
  stats.spilled_objects = spill.spilled_objects.load(std::memory_order_relaxed);
  stats.spilled_bytes = spill.spilled_bytes.load(std::memory_order_relaxed);
  stats.restored_objects = spill.restored_objects.load(std::memory_order_relaxed);
  stats.restored_bytes = spill.restored_bytes.load(std::memory_order_relaxed);
  stats.evicted_objects = spill.evicted_objects.load(std::memory_order_relaxed);
  stats.dropped_objects = spill.dropped_objects.load(std::memory_order_relaxed);
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
  if (!wrong.has_value()) wrong = SpillFiles(segment()).check();
  if (!wrong.has_value()) wrong = check_secondaries(segment());
  return wrong;
}

}  // namespace eagleray
