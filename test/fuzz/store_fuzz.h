// SPDX-License-Identifier: Apache-2.0
// A store in a directory of its own for the fuzzers, put back between inputs; and every operation there is, in an order that the
// input gives. What they answer does not matter: that they answer does.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "input.h"
#include "store.h"
#include "store_channels.h"

namespace eagleray::fuzz {

inline constexpr uint64_t kHeap = 256 * 1024;

inline ObjectId id_of(uint8_t n) {
  ObjectId id{};
  id[19] = n;
  return id;
}

inline std::string scratch_directory() {
  std::string name = std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
  name += "/eagleray-fuzz-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) std::abort();
  static std::string removed_at_exit;
  removed_at_exit = name;
  std::atexit([] { std::filesystem::remove_all(removed_at_exit); });
  return name;
}

// Some objects of every kind: small and large, sealed and half made, and holes between.
inline void furnish(Store& store) {
  std::vector<std::byte> bytes(40'000);
  for (uint8_t n = 0; n < 12; n++) {
    if (!store.put(id_of(n), bytes.data(), n * 700u * (n % 3)).ok()) std::abort();
  }
  (void)store.create(id_of(12), 9000);
  for (const uint8_t n : {2, 5, 7}) (void)store.remove(id_of(n));
}

inline void operate(Store& store, Input& input) {
  static std::vector<std::byte> bytes(kHeap);
  std::vector<View> held;
  for (int step = 0; step < 24 && !input.empty(); step++) {
    const uint8_t operation = input.take<uint8_t>();
    const ObjectId id = id_of(input.take<uint8_t>() % 20);
    switch (operation % 12) {
      case 0: (void)store.put(id, bytes.data(), input.take<uint16_t>() % 20'000); break;
      case 1: (void)store.create(id, input.take<uint16_t>()); break;
      case 2: (void)store.seal(id); break;
      case 3: (void)store.abort(id); break;
      case 4: (void)store.read(id, bytes.data(), bytes.size()); break;
      case 5: {
        const Result<View> view = store.view(id);
        if (!view.ok()) break;
        // It must be readable, whatever the entry says.
        for (uint64_t at = 0; at < view.value().size; at += 512) bytes[0] ^= view.value().data[at];
        held.push_back(view.value());
        break;
      }
      case 6: (void)store.remove(id); break;
      case 7: (void)store.contains(id); store.expect(id); break;
      case 8: (void)store.list(); (void)store.stats(); break;
      case 9: (void)store.check(); break;
      case 10: (void)store.reap_dead(); break;
      default:
        if (held.empty()) break;
        store.release(held.back());
        held.pop_back();
        break;
    }
  }
  for (const View& view : held) store.release(view);
  (void)store.check();
}

// A lock that names a living process is held, as far as anyone can tell, and would be waited for; this one is let go. So is the lock
// of the channel table, a mutex of the C library, in which rubbish is not defined: a limit that docs/adr/0003 names.
inline void let_go(Segment& segment, const pthread_mutex_t& sound) {
  segment.header().lock.store(0);
  std::memcpy(&segment.channels().header().lock, &sound, sizeof sound);
}

}  // namespace eagleray::fuzz
