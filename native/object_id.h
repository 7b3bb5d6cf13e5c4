// SPDX-License-Identifier: Apache-2.0
// The names of things in a segment, as bytes. An id says where it came from:
//
//   NodeId    5 random bytes
//   WorkerId  node (5) | client slot (2, big endian) | nonce (5)       one attachment of one process
//   ObjectId  WorkerId of the owner (12) | sequence number (8, big endian)
//
// The store itself only needs ObjectIds to be distinct; the structure makes its hash keep an owner's objects close together.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace eagleray {

inline constexpr size_t kNodeIdBytes = 5;
inline constexpr size_t kWorkerIdBytes = 12;
inline constexpr size_t kObjectIdBytes = 20;

using NodeId = std::array<uint8_t, kNodeIdBytes>;
using WorkerId = std::array<uint8_t, kWorkerIdBytes>;
using ObjectId = std::array<uint8_t, kObjectIdBytes>;

WorkerId make_worker_id(const NodeId& node, uint32_t slot, const std::array<uint8_t, 5>& nonce);

// Lower-case hex digits, two a byte.
std::string to_hex(const uint8_t* bytes, size_t count);
// Fills `bytes` from exactly 2 * count hex digits of either case; false (and `bytes` undefined) otherwise.
bool from_hex(std::string_view digits, uint8_t* bytes, size_t count);

template <size_t N>
std::string to_hex(const std::array<uint8_t, N>& id) {
  return to_hex(id.data(), N);
}
template <size_t N>
bool from_hex(std::string_view digits, std::array<uint8_t, N>* id) {
  return from_hex(digits, id->data(), N);
}

// A hash whose low bits run on within each 256 successive sequence numbers of an owner: objects made one after the other
// lie in neighbouring buckets (warm cache lines), and different owners start at unrelated places.
uint64_t hash_object_id(const ObjectId& id);

}  // namespace eagleray
