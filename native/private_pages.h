// SPDX-License-Identifier: Apache-2.0
// What this process wrote into its copy-on-write mappings: pages of its own in the place of those that all share.
//
// Views are read far more often than written into. To let the kernel forget a whole range at each release would be simple, and would
// throw away the page table of what was only read too: the next reader pays a fault for every 64 KiB. So the kernel is asked which pages
// are private (PAGEMAP_SCAN, Linux 6.7), and only those go. A clean page of a private mapping is the shared page itself, so what is left
// mapped shows whatever comes to lie there next.
#pragma once

#include <cstddef>
#include <cstdint>

namespace eagleray {

class PrivatePages {
 public:
  PrivatePages();
  ~PrivatePages();
  PrivatePages(const PrivatePages&) = delete;
  PrivatePages& operator=(const PrivatePages&) = delete;

  // Undoes what this process wrote there. Whole pages of a private mapping of a file. Threads: any, while nobody reads the range.
  void discard(std::byte* begin, uint64_t bytes) const;

 private:
  int pagemap_;  // -1: the kernel cannot tell
  int pid_;      // whose it is: a child made by fork has other pages
};

}  // namespace eagleray
