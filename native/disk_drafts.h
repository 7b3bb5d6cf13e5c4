// SPDX-License-Identifier: Apache-2.0
// Objects that this process is making on disk, because they do not fit the heap: the mapping that they are written through, and the turn
// that its threads take at finding places for them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "spill.h"

namespace eagleray {

// Threads: any. An entry is one thread's from create to seal or abort.
class DiskDrafts {
 public:
  // Held from getting a place in a file until it is reserved, so that the file grows in the order of its places.
  std::mutex& placing() { return placing_; }
  void keep(uint32_t entry, std::shared_ptr<DiskMapping> mapping) {
    std::lock_guard<std::mutex> lock(mutex_);
    mappings_[entry] = std::move(mapping);
  }
  void drop(uint32_t entry) {
    std::lock_guard<std::mutex> lock(mutex_);
    mappings_.erase(entry);
  }

 private:
  std::mutex placing_;
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<DiskMapping>> mappings_;
};

}  // namespace eagleray
