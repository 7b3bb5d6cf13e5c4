// SPDX-License-Identifier: Apache-2.0
// What the store needs of the channels, so that neither includes the other. Set once, before the first client is made; with
// none set (the store's own tests), waiters are not rung and there are no channels to close.
#pragma once

#include <cstdint>

namespace eagleray {

class Client;

struct StoreHooks {
  // An object that the client in `slot` may be waiting for was sealed. Called without the lock, from any thread.
  void (*ring)(Client& from, uint32_t slot) = nullptr;
  // The client in `slot` is gone for good and its slot about to be free: end its channels. Called without the lock; may be
  // called more than once for one death. `died` is false when it detached by itself.
  void (*client_gone)(Client& from, uint32_t slot, bool died) = nullptr;
  // The client in `slot` may have missed a ring, since someone died: as `ring`, and its bell whatever its mailbox says.
  void (*rouse)(Client& from, uint32_t slot) = nullptr;
};

void set_store_hooks(const StoreHooks& hooks);
const StoreHooks& store_hooks();

}  // namespace eagleray
