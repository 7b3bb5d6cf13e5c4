// SPDX-License-Identifier: Apache-2.0
// A store that processes use until they are killed, and what must hold afterwards.
#pragma once

#include <cstring>

#include "fault_points.h"
#include "store_fixture.h"

namespace eagleray {

// What an object of that id holds, whoever put it.
inline std::vector<uint8_t> content(const ObjectId& id, uint64_t size) { return pattern(size, id[0] * 1000ull + id[19]); }

inline Status put(Store& store, const ObjectId& id, uint64_t size) { return store.put(id, content(id, size).data(), size); }

// Meets every place of objects: they are put, made, sealed, aborted, read, viewed, expected and removed.
inline void use(Store& store) {
  for (uint64_t n = 0; n < 3; n++) {
    const ObjectId small = id_of(10 * n, 2), large = id_of(10 * n + 1, 2), made = id_of(10 * n + 2, 2), dropped = id_of(10 * n + 3, 2);
    store.expect(small);
    (void)put(store, small, 100 + n);
    (void)put(store, large, 60'000 + n);
    const Result<std::byte*> bytes = store.create(made, 9000);
    if (bytes.ok()) std::memcpy(bytes.value(), content(made, 9000).data(), 9000);
    (void)store.seal(made);
    (void)store.create(dropped, 500'000);
    (void)store.abort(dropped);
    std::vector<std::byte> copy(9000);
    (void)store.read(made, copy.data(), copy.size());
    const Result<View> view = store.view(large);
    const Result<View> other = store.view(id_of(1, 1));
    (void)store.remove(large);
    if (view.ok()) store.release(view.value());
    if (other.ok()) store.release(other.value());
    (void)store.remove(small);
    // Neighbours on both sides are free now.
    (void)put(store, small, 5000);
    (void)store.remove(made);
    (void)store.remove(small);
    (void)put(store, small, 200);
  }
}

class FaultTest : public StoreTest {
 protected:
  static constexpr uint64_t kHeap = 8 << 20;

  // Ten objects that must survive everything.
  void put_lasting(Store& store) {
    for (uint64_t n = 0; n < 10; n++) ASSERT_TRUE(put(store, id_of(n, 1), n * 3000).ok());
  }

  // All that is sealed holds what it should.
  static void expect_content(Store& store) {
    for (const ObjectInfo& object : store.list().value()) {
      ASSERT_EQ(object.state, object_state::kSealed) << to_hex(object.id);
      std::vector<uint8_t> bytes(object.size + 1);
      ASSERT_EQ(store.read(object.id, bytes.data(), bytes.size()).value(), object.size);
      bytes.resize(object.size);
      ASSERT_TRUE(bytes == content(object.id, object.size)) << to_hex(object.id);
    }
  }

  // After everyone else is dead and reaped: sound, the lasting objects are there, and nothing has leaked.
  static void expect_whole(Store& store, bool lasting = true) {
    expect_sound(store);
    EXPECT_EQ(store.stats().value().clients, 1u);
    EXPECT_EQ(store.stats().value().pins, 0u);
    EXPECT_EQ(store.stats().value().channels, 0u);
    EXPECT_EQ(store.client()->segment().header().lock.load(), 0u);
    expect_content(store);
    for (uint64_t n = 0; lasting && n < 10; n++) ASSERT_TRUE(store.contains(id_of(n, 1))) << n;
    for (const ObjectInfo& object : store.list().value()) ASSERT_TRUE(store.remove(object.id).value());
    expect_empty(store);
    // Not a byte of the heap is missing.
    ASSERT_TRUE(store.create(id_of(99), kHeap).ok());
    ASSERT_TRUE(store.abort(id_of(99)).ok());
    expect_empty(store);
  }

  // A process that attaches, does `body` and detaches, unless the `nth` passage of the place ends it.
  template <typename Body>
  pid_t killed_child(const char* place, int nth, Body body) {
    return in_child([&, this] {
      select_fault(place, nth);
      {
        Store theirs = attach();
        body(theirs);
      }
      select_fault(nullptr);
      return 0;
    });
  }
};

}  // namespace eagleray
