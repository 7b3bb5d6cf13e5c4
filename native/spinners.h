// SPDX-License-Identifier: Apache-2.0
// Who polls hot. Spinning pays only on cores that have nothing better to do, so the processes of a segment share a budget:
// at most max(1, cores - 1) of them spin at a time.
#pragma once

#include <cstdint>

#include "channel_layout.h"

namespace eagleray {

// Cores this process may use: its affinity, and the CPU quota of its control group rounded up. At least 1. Cached.
int usable_cores();

// How many may spin on this machine.
int spinners_max();

// Takes a place among at most `most` spinners for `slot`; false when there is none. Idempotent.
bool begin_spin(ChannelRegion region, uint32_t slot, int most);
// Gives it back; also for a process that died. Idempotent.
void end_spin(ChannelRegion region, uint32_t slot);

}  // namespace eagleray
