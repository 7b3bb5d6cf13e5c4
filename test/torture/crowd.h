// SPDX-License-Identifier: Apache-2.0
// One of a crowd that uses a store as hard as it can until it is killed, and the notes by which an outsider knows afterwards what
// must be there.
#pragma once

#include <atomic>
#include <cstdint>

#include "store.h"

namespace eagleray::torture {

inline constexpr uint32_t kCrowd = 3;        // how many at a time
inline constexpr uint32_t kOwnObjects = 24;  // ids of its own, which nobody else deletes
inline constexpr uint32_t kCommonObjects = 24;

// What one member says of one of its own objects, before it does it and after.
enum class Note : uint8_t { kNothing, kPutting, kSealed, kRemoving };

// In memory that the members share with the outsider; not part of the store.
struct Notes {
  std::atomic<uint64_t> steps[kCrowd];
  std::atomic<Note> own[kCrowd][kOwnObjects];
  std::atomic<uint64_t> sizes[kCrowd][kOwnObjects];
};

// The n-th object of the `life`-th member; life 0 is common to all.
ObjectId id_of(uint64_t life, uint32_t n);
// What an object holds follows from its id and size. Checked by position, so that bytes of another place are found out.
void fill(std::byte* bytes, const ObjectId& id, uint64_t size);
bool is_filled(const std::byte* bytes, const ObjectId& id, uint64_t size);

// Attaches and goes on until it is killed. `spills`: the store has a disk; the first place runs a thread that spills. Ends only with an exit code above 0: it found something wrong, and printed it.
int misbehave(const std::string& directory, Notes& notes, uint32_t place, uint64_t life, uint64_t seed, bool spills);

}  // namespace eagleray::torture
