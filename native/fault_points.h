// SPDX-License-Identifier: Apache-2.0
// Places where a test can have the process killed as if by `kill -9`. Compiled in with -DEAGLERAY_FAULT_POINTS alone; otherwise
// EAGLERAY_FAULT is nothing.
#pragma once

#ifdef EAGLERAY_FAULT_POINTS

namespace eagleray {

// Every place, so that a test can visit them all. In the order in which a put, view, release and delete meet them.
inline constexpr const char* kFaultPoints[] = {
    "create.locked",      "allocate.removed",  "allocate.split",     "create.allocated", "create.filled",   "create.published",
    "create.unlocked",    "put.copied",        "seal.before",        "seal.sealed",      "view.pinned",     "view.counted",
    "release.discarded",  "release.unpinned",  "delete.before",      "delete.marked",    "remove.unlinked", "remove.freed_entry",
    "free.before",        "free.merged",       "free.binned",        "abort.before",     "lock.before_release",
    "reap.marked",        "reap.scanned",      "rebuild.started",    "rebuild.table",    "rebuild.blocks",
};

// The `nth` passage (1 is the next) of the place kills this process with SIGKILL. Null selects none.
void select_fault(const char* name, int nth = 1);
void fault_point(const char* name);

}  // namespace eagleray

#define EAGLERAY_FAULT(name) ::eagleray::fault_point(name)
#else
#define EAGLERAY_FAULT(name) ((void)0)
#endif
