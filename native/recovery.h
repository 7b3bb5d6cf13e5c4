// SPDX-License-Identifier: Apache-2.0
// What follows the death of a holder of the segment lock.
#pragma once

#include "segment.h"
#include "status.h"

namespace eagleray {

// Rebuilds everything the lock guards (chains, free lists, the allocator) from the entries' states and places, which are written
// so that they are right at every instruction. Objects that were being made or freed are left in their state: the reaper of the
// dead client frees them. Look-ups go on meanwhile. kStoreCorrupt, for good, when entries contradict each other.
// REQUIRES: the segment lock is held.
Status rebuild_after_death(Segment& segment);

}  // namespace eagleray
