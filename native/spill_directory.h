// SPDX-License-Identifier: Apache-2.0
// The directory of a store's spilled objects, as this process has it open. Files are found through the descriptor and never by a path:
// wherever the link beside the segment comes to lead, no file of anybody else's is read, written or removed.
//
// Which directory it is stands in the segment (SpillState), with its owner and mode, as it was when the store was made. Where any of these has
// changed, others may have been at the files, and it is refused: nothing goes to disk then, so that nothing is lost that is in memory.
#pragma once

#include <atomic>
#include <string>

#include "layout.h"
#include "status.h"

namespace eagleray {

class SpillDirectory {
 public:
  // `link` leads to it.
  explicit SpillDirectory(std::string link) : link_(std::move(link)) {}
  ~SpillDirectory();
  SpillDirectory(const SpillDirectory&) = delete;
  SpillDirectory& operator=(const SpillDirectory&) = delete;

  // From now on this directory is the store's. REQUIRES: nobody else has the segment yet.
  Status adopt(SpillState& state);
  // A descriptor of it, which stays open as long as this lives. kSystem when it cannot be opened or is not what it was.
  // Threads: any.
  Result<int> descriptor(const SpillState& state);

 private:
  Result<int> open_once();

  const std::string link_;
  std::atomic<int> descriptor_{-1};
};

}  // namespace eagleray
