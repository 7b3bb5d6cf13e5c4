// SPDX-License-Identifier: Apache-2.0
// A thread that takes objects out of the heap before it is full, so that nobody who puts an object waits for a disk. Any process may
// run one on a store; one is enough.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "segment.h"
#include "status.h"

namespace eagleray {

class Client;

// Spilling begins when the heap is filled above the first share, and goes on down to the second (Ray: 0.8).
inline constexpr double kSpillAboveShare = 0.8;
inline constexpr double kSpillDownToShare = 0.7;

// REQUIRES: the segment lock is held.
bool is_filled_to_spill(const Segment& segment);
void wake_spill_thread(Segment& segment);

class SpillThread {
 public:
  explicit SpillThread(std::shared_ptr<Client> client);
  // Waits for what is being written.
  ~SpillThread();
  SpillThread(const SpillThread&) = delete;
  SpillThread& operator=(const SpillThread&) = delete;

 private:
  void run();
  // False when nothing could be spilled that should be.
  bool spill_down();

  const std::shared_ptr<Client> client_;
  const int pid_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace eagleray
