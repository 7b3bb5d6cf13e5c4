// SPDX-License-Identifier: Apache-2.0
#include "object_id.h"

namespace eagleray {
namespace {

int digit_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// The finaliser of splitmix64: every input bit reaches every output bit.
uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

WorkerId make_worker_id(const NodeId& node, uint32_t slot, const std::array<uint8_t, 5>& nonce) {
  WorkerId id;
  std::memcpy(id.data(), node.data(), 5);
  id[5] = static_cast<uint8_t>(slot >> 8);
  id[6] = static_cast<uint8_t>(slot);
  std::memcpy(id.data() + 7, nonce.data(), 5);
  return id;
}

std::string to_hex(const uint8_t* bytes, size_t count) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(2 * count, '0');
  for (size_t i = 0; i < count; i++) {
    text[2 * i] = kDigits[bytes[i] >> 4];
    text[2 * i + 1] = kDigits[bytes[i] & 15];
  }
  return text;
}

bool from_hex(std::string_view digits, uint8_t* bytes, size_t count) {
  if (digits.size() != 2 * count) return false;
  for (size_t i = 0; i < count; i++) {
    const int high = digit_value(digits[2 * i]);
    const int low = digit_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

uint64_t hash_object_id(const ObjectId& id) {
  uint64_t first;
  uint32_t second;
  uint64_t sequence;
  std::memcpy(&first, id.data(), 8);
  std::memcpy(&second, id.data() + 8, 4);
  std::memcpy(&sequence, id.data() + 12, 8);
  sequence = __builtin_bswap64(sequence);
  const uint64_t owner = mix(first ^ mix(second));
  return mix(owner ^ (sequence >> 8)) + (sequence & 255);
}

}  // namespace eagleray
