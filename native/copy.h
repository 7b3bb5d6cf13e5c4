// SPDX-License-Identifier: Apache-2.0
// Copies into and out of the heap, with several threads where that helps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace eagleray {

// From this many bytes on, threads of a small pool help. Measured on two cores, warm memory: below, waking them costs what they
// save; see docs/object-layout.md.
inline constexpr uint64_t kParallelCopyBytes = 32ull << 20;

struct CopyPart {
  std::byte* target;
  const std::byte* source;  // null fills with zeros
  uint64_t length;
};

// Copies every part; they do not overlap. `populate` says that the targets are likely to lack page tables in this process.
void copy_parts(std::span<const CopyPart> parts, bool populate);

}  // namespace eagleray
