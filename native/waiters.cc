// SPDX-License-Identifier: Apache-2.0
#include "waiters.h"

#include <bit>

#include "fault_points.h"
#include "full_fence.h"
#include "hooks.h"

namespace eagleray {
namespace {

WaiterBucket& bucket_of(const Segment& segment, const ObjectId& id) {
  return segment.waiters(static_cast<uint32_t>(hash_object_id(id)) & (kWaiterBuckets - 1));
}

void ring_bucket(Client& client, WaiterBucket& bucket) {
  for (uint32_t i = 0; i < kClientWords; i++) {
    if (bucket.clients[i].load(std::memory_order_seq_cst) == 0) continue;
    uint64_t waiting = bucket.clients[i].exchange(0, std::memory_order_seq_cst);
    EAGLERAY_FAULT("bells.taken");
    for (; waiting != 0; waiting &= waiting - 1) {
      const uint32_t slot = i * 64 + static_cast<uint32_t>(std::countr_zero(waiting));
      if (store_hooks().ring != nullptr) store_hooks().ring(client, slot);
    }
  }
}

}  // namespace

void expect_seal(Client& client, const ObjectId& id) {
  WaiterBucket& bucket = bucket_of(client.segment(), id);
  bucket.clients[client.slot() / 64].fetch_or(1ull << (client.slot() % 64), std::memory_order_seq_cst);
  EAGLERAY_FAULT("expect.marked");
  full_fence();  // before the caller's look-up, whose loads are weaker
}

void expect_all(Client& client) {
  for (uint32_t i = 0; i < kWaiterBuckets; i++) {
    std::atomic<uint64_t>& word = client.segment().waiters(i).clients[client.slot() / 64];
    const uint64_t bit = 1ull << (client.slot() % 64);
    // Most marks stand since the last time: then this is a read.
    if ((word.load(std::memory_order_seq_cst) & bit) == 0) word.fetch_or(bit, std::memory_order_seq_cst);
  }
  full_fence();  // as above
}

void ring_waiters(Client& client, const ObjectId& id) { ring_bucket(client, bucket_of(client.segment(), id)); }

void rouse_all(Client& client) {
  if (store_hooks().rouse == nullptr) return;
  for (uint32_t slot = 0; slot < kMaxClients; slot++) {
    const uint64_t word = client.segment().client(slot).state.load(std::memory_order_acquire);
    if (client_state::state(word) == client_state::kLive) store_hooks().rouse(client, slot);
  }
}

void clear_waiter(Segment& segment, uint32_t slot) {
  const uint64_t bit = 1ull << (slot % 64);
  for (uint32_t i = 0; i < kWaiterBuckets; i++) {
    std::atomic<uint64_t>& word = segment.waiters(i).clients[slot / 64];
    if ((word.load(std::memory_order_relaxed) & bit) != 0) word.fetch_and(~bit, std::memory_order_seq_cst);
  }
}

}  // namespace eagleray
