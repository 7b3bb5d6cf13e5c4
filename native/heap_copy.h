// SPDX-License-Identifier: Apache-2.0
// How the bytes of an object get into the heap: by memcpy where this process has page tables, through the file where it has not
// (warm_pages.h says why).
#pragma once

#include <span>

#include "client.h"
#include "copy.h"

namespace eagleray {

// From this size on a cold part is written through the file: a system call costs as much as some page faults.
inline constexpr uint64_t kWriteThroughBytes = 64 * 1024;

// Copies every part; the targets lie in the client's shared heap and do not overlap.
void copy_into_heap(Client& client, std::span<const CopyPart> parts);

}  // namespace eagleray
