// SPDX-License-Identifier: Apache-2.0
// Secondary copies: objects that another node has too, kept here for whoever reads them next. When room is needed they are the first to
// go, those first that were not used for longest (a clock hand of their own, as in spill.h), and they are never written to disk.
//
// Dropping one is an eviction that ends in a free entry: sealed -> evicting, look at the pins, -> free or back to sealed. A reader
// without the lock either has set its bit before the look, and the object stays, or sees that the state has changed and takes its bit
// back. Dropping needs no copy on disk, so stores that do not spill drop too.
#pragma once

#include <cstdint>

#include "client.h"
#include "status.h"

namespace eagleray {

// Drops secondary copies that nobody views until `bytes` of the heap came free or none is left; gives how many bytes did. Whoever
// waits for one of them, or watches, is rung.
Result<uint64_t> drop_secondaries(Client& client, uint64_t bytes);

// The entry is no secondary copy any more, if it was one. REQUIRES: the segment lock is held.
void end_secondary(Segment& segment, uint32_t index);

// Counts them anew. REQUIRES: as end_secondary.
void recount_secondaries(Segment& segment);
uint32_t count_secondaries(const Segment& segment);

}  // namespace eagleray
