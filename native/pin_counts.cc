// SPDX-License-Identifier: Apache-2.0
#include "pin_counts.h"

#include <sys/mman.h>

#include <cstdlib>

namespace eagleray {

PinCounts::PinCounts(uint32_t capacity) : capacity_(capacity) {
  void* at = mmap(nullptr, capacity * sizeof(PinCount), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) std::abort();  // a few MiB of address space: nothing else would work either
  counts_ = static_cast<PinCount*>(at);
}

PinCounts::~PinCounts() { munmap(counts_, capacity_ * sizeof(PinCount)); }

TouchedPages::TouchedPages(uint64_t heap_bytes) : bits_(new std::atomic<uint64_t>[heap_bytes / kStep / 64 + 1]()) {}

bool TouchedPages::mark(uint64_t offset, uint64_t length) {
  bool fresh = false;
  for (uint64_t step = offset / kStep; step <= (offset + length - 1) / kStep; step++) {
    const uint64_t bit = 1ull << (step % 64);
    std::atomic<uint64_t>& word = bits_[step / 64];
    if ((word.load(std::memory_order_relaxed) & bit) != 0) continue;
    word.fetch_or(bit, std::memory_order_relaxed);
    fresh = true;
  }
  return fresh;
}

void populate_for_writing(std::byte* at, uint64_t length) {
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(at) + kPage - 1) & ~(kPage - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(at) + length) & ~(kPage - 1);
#ifndef MADV_POPULATE_WRITE
  constexpr int MADV_POPULATE_WRITE = 23;
#endif
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
}

}  // namespace eagleray
