// SPDX-License-Identifier: Apache-2.0
// Gives back what a client held once its process is gone, or when it detaches: pins, objects it was creating, its wish to hear
// of seals, its channels (hooks.h), its slot. Every step is idempotent and is repeated in full by the next reaper when one dies
// on the way; the slot comes free last.
#pragma once

#include <vector>

#include "client.h"
#include "status.h"

namespace eagleray {

// Reaps the client in `slot` if its process is gone. False when the slot is free, its process lives, or it is the caller's own.
Result<bool> reap_client(Client& by, uint32_t slot);
// Reaps every client whose process is gone; gives their slots.
Result<std::vector<uint32_t>> reap_dead_clients(Client& by);

// The work itself, whether or not the process is gone: `by` may be the client that goes.
Status give_back_client(Client& by, uint32_t slot, uint32_t generation, bool died);

// Frees an entry and its memory. REQUIRES: the segment lock is held; the entry is in use.
Status free_entry(Segment& segment, uint32_t index);
// The same if it is still deleting in that generation and nobody pins it. REQUIRES: the segment lock is held.
Status free_if_unpinned(Segment& segment, uint32_t index, uint64_t generation);
// Gives the block of an object that is being read back free, as nobody goes on with that. REQUIRES: the segment lock is held; restoring.
Status undo_restore(Segment& segment, uint32_t index);
bool is_pinned(const ObjectEntry& entry);

}  // namespace eagleray
