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

}  // namespace eagleray
