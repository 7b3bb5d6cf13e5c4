// SPDX-License-Identifier: Apache-2.0
#include "layout.h"

#include <algorithm>
#include <bit>

namespace eagleray {
namespace {

constexpr uint64_t page_up(uint64_t bytes) { return (bytes + kPage - 1) & ~(kPage - 1); }

}  // namespace

Layout compute_layout(uint64_t heap_bytes, uint32_t table_capacity) {
  if (heap_bytes % kPage != 0 || heap_bytes < kMinHeapBytes || heap_bytes > kMaxHeapBytes) return Layout{};
  if (!std::has_single_bit(table_capacity) || table_capacity < kMinTableCapacity || table_capacity > kMaxTableCapacity) return Layout{};
  Layout layout{};
  layout.heap_bytes = heap_bytes;
  layout.table_capacity = table_capacity;
  layout.block_capacity = 4 * table_capacity + 64;  // enough for any set of entries: see allocator.h
  uint64_t at = 0;
  const auto section = [&at](uint64_t bytes) {
    const uint64_t begin = at;
    at += page_up(bytes);
    return begin;
  };
  section(sizeof(SegmentHeader));
  layout.clients = section(kMaxClients * sizeof(ClientRecord));
  layout.waiters = section(kWaiterBuckets * sizeof(WaiterBucket));
  layout.allocator = section(sizeof(AllocatorState));
  layout.table = section(sizeof(TableState));
  layout.buckets = section(table_capacity * sizeof(BucketHead));
  layout.spill = section(sizeof(SpillState) + kSpillFiles * sizeof(SpillFile));
  layout.sites = section(kCallSites * sizeof(CallSite));
  layout.entries = section(static_cast<uint64_t>(table_capacity) * sizeof(ObjectEntry));
  layout.details = section(static_cast<uint64_t>(table_capacity) * sizeof(ObjectDetail));
  layout.blocks = section(static_cast<uint64_t>(layout.block_capacity) * sizeof(BlockRecord));
  layout.channels = section(kChannelRegionBytes);
  at = (at + kHugePage - 1) & ~(kHugePage - 1);  // so that the system may give huge pages
  layout.heap = section(heap_bytes);
  layout.file_bytes = at;
  return layout;
}

uint32_t default_table_capacity(uint64_t heap_bytes) {
  const uint64_t pages = std::bit_ceil(heap_bytes / kPage);
  return static_cast<uint32_t>(std::clamp<uint64_t>(pages, 16 * 1024, kMaxTableCapacity));
}

uint64_t header_checksum(const SegmentHeader& header) {
  // FNV-1a over the bytes before the checksum.
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (size_t i = 0; i < offsetof(SegmentHeader, checksum); i++) hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
  return hash;
}

}  // namespace eagleray
