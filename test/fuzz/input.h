// SPDX-License-Identifier: Apache-2.0
// The fuzzer's bytes, taken from the front; zeros when they are used up.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace eagleray::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), left_(size) {}

  bool empty() const { return left_ == 0; }
  template <typename T>
  T take() {
    T value{};
    const size_t count = std::min(sizeof value, left_);
    std::memcpy(&value, at_, count);
    at_ += count;
    left_ -= count;
    return value;
  }

  // One change of `size` bytes at `base`: where, and up to 8 bytes that it becomes. Where lies near the start of a record often.
  void change(std::byte* base, uint64_t size) {
    const uint32_t where = take<uint32_t>();
    const uint8_t count = take<uint8_t>() % 8 + 1;
    const uint64_t bytes = take<uint64_t>();
    const uint64_t at = where % size;
    std::memcpy(base + at, &bytes, std::min<uint64_t>(count, size - at));
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

}  // namespace eagleray::fuzz
