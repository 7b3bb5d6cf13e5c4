// SPDX-License-Identifier: Apache-2.0
// Which processes are alive, told apart from later ones that were given the same pid.
#pragma once

#include <cstdint>
#include <optional>

namespace eagleray {

// The process's start in clock ticks since boot; nothing when there is no such process, or when it is a zombie whose last
// thread has ended: such a process can no longer execute an instruction, and its memory is gone.
std::optional<uint64_t> process_start_time(uint32_t pid);

// Whether the process that started at `start_time` still runs. A start_time of 0 is not compared.
bool process_alive(uint32_t pid, uint64_t start_time);

}  // namespace eagleray
