// SPDX-License-Identifier: Apache-2.0
// Places where a test can have the process killed as if by `kill -9`. Compiled in with -DEAGLERAY_FAULT_POINTS alone; otherwise
// EAGLERAY_FAULT is nothing.
#pragma once

#ifdef EAGLERAY_FAULT_POINTS

namespace eagleray {

// Every place there is: a test compares this with the sources, and kills a process at each. By operation, in the order in which it
// meets them; the part of a name before the point says which.
inline constexpr const char* kFaultPoints[] = {
    // A segment is made, a process attaches.
    "make.directory", "make.filled", "make.named", "attach.claimed", "attach.filled", "attach.live",
    // The lock, and what is repaired when its holder is dead.
    "lock.waiting", "lock.took_over", "lock.taken", "lock.before_release", "lock.released",
    "rebuild.started", "rebuild.emptied", "rebuild.table", "rebuild.blocks", "rebuild.before_end",
    // Objects come to be.
    "create.locked", "back.reserved", "bin.removing", "allocate.chunk", "allocate.removed", "allocate.split", "bin.headed",
    "create.allocated", "create.filled", "create.published", "create.unlocked", "put.copied",
    "abort.before", "seal.found", "seal.before", "seal.sealed", "seal.rung",
    // They are read and go.
    "view.pinned", "view.counted", "read.copied", "release.discarded", "release.unpinned", "release.last",
    "delete.before", "delete.marked", "remove.unlinked", "remove.freed_entry", "free.before", "free.merged", "free.chunk", "free.binned",
    "delete.before_bells",
    // They go to disk and come back.
    "spill.claimed", "spill.written", "spill.attached", "evict.evicting", "evict.spilled", "evict.freed", "spill.unlinked", "spill.punched", "disk.made",
    "secondary.evicting", "secondary.before_bells", "secondary.ended",
    "restore.placed", "restore.begun", "restore.read", "restore.sealed", "restore.undone",
    // Waiting and waking.
    "expect.marked", "bells.taken", "sleep.announced", "wake.taken", "wake.rung", "attend.marked", "attend.counted",
    // Channels and rings.
    "port.made_bell", "channel.locked", "channel.repaired", "channel.opening", "channel.backed", "channel.filled", "channel.open",
    "channel.left", "channel.closed", "ring.filled", "ring.published", "ring.copied", "ring.released",
    // What a client held is given back, when it detaches and when it died.
    "reap.marked", "reap.channels", "reap.unpinned", "reap.scanned", "reap.roused", "reap.before_end", "reap.freed",
};

// The `nth` passage (1 is the next) of the place kills this process with SIGKILL. Null selects none.
void select_fault(const char* name, int nth = 1);
void fault_point(const char* name);

}  // namespace eagleray

#define EAGLERAY_FAULT(name) ::eagleray::fault_point(name)
#else
#define EAGLERAY_FAULT(name) ((void)0)
#endif
