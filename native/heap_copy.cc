// SPDX-License-Identifier: Apache-2.0
#include "heap_copy.h"

#include <algorithm>
#include <vector>

namespace eagleray {
namespace {

uint64_t offset_of(const Client& client, const CopyPart& part) { return static_cast<uint64_t>(part.target - client.segment().heap()); }

// Writes the cold pieces of a part and leaves the warm ones, and what could not be written, in `rest`.
void write_cold_pieces(Client& client, const CopyPart& part, std::vector<CopyPart>& rest) {
  WarmPages& pages = client.warm_pages();
  for (uint64_t at = 0; at < part.length;) {
    const uint64_t offset = offset_of(client, part) + at;
    const uint64_t length = std::min(part.length - at, WarmPages::kStep - offset % WarmPages::kStep);
    const CopyPart piece{part.target + at, part.source + at, length};
    if (pages.is_warm(offset)) {
      rest.push_back(piece);
    } else {
      pages.written_cold(offset);
      if (!client.segment().write_heap(offset, piece.source, length)) rest.push_back(piece);
    }
    at += length;
  }
}

}  // namespace

void copy_into_heap(Client& client, std::span<const CopyPart> parts) {
  std::vector<CopyPart> rest;
  bool is_split = false;
  for (size_t i = 0; i < parts.size(); i++) {
    const CopyPart& part = parts[i];
    const bool is_small = part.source == nullptr || part.length < kWriteThroughBytes;
    if (is_small && part.length > 0 && !client.warm_pages().is_warm(offset_of(client, part))) client.warm_pages().ahead_of(offset_of(client, part));
    if (!is_small && !is_split) {
      is_split = true;
      rest.assign(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(i));
    }
    if (!is_split) continue;
    if (is_small) {
      rest.push_back(part);
    } else {
      advise_source(part);
      write_cold_pieces(client, part, rest);
    }
  }
  copy_parts(is_split ? std::span<const CopyPart>(rest) : parts);
}

}  // namespace eagleray
