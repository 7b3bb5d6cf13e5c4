// SPDX-License-Identifier: Apache-2.0
// The object table against a model, and its look-ups while other threads change it.
#include "object_table.h"

#include <map>
#include <random>
#include <thread>

#include "segment_lock.h"
#include "store_fixture.h"

namespace eagleray {
namespace {

class ObjectTableTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    Result<std::unique_ptr<Segment>> segment = Segment::create(path(), {1 << 20, 1024, NodeId{}});
    ASSERT_TRUE(segment.ok());
    segment_ = std::move(segment.value());
  }

  uint32_t insert(const ObjectId& id) {
    ObjectTable table(*segment_);
    const Result<uint32_t> index = table.take();
    EXPECT_TRUE(index.ok());
    table.publish(index.value(), id);
    return index.value();
  }

  void set_state(uint32_t index, uint64_t state) {
    ObjectEntry& entry = segment_->entry(index);
    entry.state.store(object_state::make(state, object_state::generation(entry.state.load())));
  }

  void expect_sound() {
    const std::optional<std::string> wrong = ObjectTable(*segment_).check();
    ASSERT_FALSE(wrong.has_value()) << *wrong;
  }

  uint32_t find_present(const ObjectId& id) {
    bool settled = false;
    const FoundEntry found = ObjectTable(*segment_).find_present(id, &settled);
    EXPECT_TRUE(settled);
    return found.index;
  }

  std::unique_ptr<Segment> segment_;
};

TEST_F(ObjectTableTest, OnlySealedEntriesAreFoundWithoutTheLock) {
  const uint32_t index = insert(id_of(1));
  EXPECT_EQ(find_present(id_of(1)), kNone);
  EXPECT_EQ(ObjectTable(*segment_).find_current(id_of(1)).value().index, index);
  set_state(index, object_state::kSealed);
  EXPECT_EQ(find_present(id_of(1)), index);
  set_state(index, object_state::kDeleting);
  EXPECT_EQ(find_present(id_of(1)), kNone);
  EXPECT_EQ(ObjectTable(*segment_).find_current(id_of(1)).value().index, kNone);
  ASSERT_TRUE(ObjectTable(*segment_).remove(index).ok());
  EXPECT_EQ(object_state::generation(segment_->entry(index).state.load()), 1u);
  EXPECT_EQ(insert(id_of(2)), index);  // last out, first in
  expect_sound();
}

TEST_F(ObjectTableTest, IdsOfOneOwnerLieInNeighbouringBuckets) {
  const uint64_t first = hash_object_id(id_of(256));
  for (uint64_t n = 256; n < 512; n++) EXPECT_EQ(hash_object_id(id_of(n)), first + (n - 256));
  EXPECT_NE(hash_object_id(id_of(512)), first + 256);
}

TEST_F(ObjectTableTest, RandomOperationsAgreeWithAModel) {
  std::mt19937_64 random(7);
  ObjectTable table(*segment_);
  std::map<ObjectId, uint32_t> model;
  for (int step = 0; step < 20'000; step++) {
    // Few owners and numbers: long chains, ids used again.
    const ObjectId id = id_of(random() % 400 * 256, static_cast<uint8_t>(random() % 3));
    const auto known = model.find(id);
    ASSERT_EQ(find_present(id), known == model.end() ? kNone : known->second);
    if (known == model.end() && random() % 2 == 0 && model.size() < 1024) {
      const uint32_t index = insert(id);
      set_state(index, object_state::kSealed);
      model[id] = index;
    } else if (known != model.end() && random() % 2 == 0) {
      ASSERT_TRUE(table.remove(known->second).ok());
      model.erase(known);
    }
    ASSERT_EQ(table.used(), model.size());
    if (step % 1000 == 0) expect_sound();
    if (step % 3000 == 0) {
      ASSERT_TRUE(table.rebuild().ok());
    }
  }
  expect_sound();
}

TEST_F(ObjectTableTest, AFullTableSaysSo) {
  for (uint64_t n = 0; n < 1024; n++) insert(id_of(n));
  EXPECT_EQ(ObjectTable(*segment_).take().code(), Code::kStoreFull);
  expect_sound();
}

// Readers without the lock must never miss an entry that is there throughout, whatever happens around it.
TEST_F(ObjectTableTest, LookUpsSeeWhatIsThereThroughout) {
  Segment& segment = *segment_;
  // The same bucket for all: ids whose hashes agree in the bits that count.
  std::vector<ObjectId> ids;
  const uint64_t wanted = hash_object_id(id_of(0)) % 1024;
  for (uint64_t n = 0; ids.size() < 24; n++) {
    if (hash_object_id(id_of(n * 256)) % 1024 == wanted) ids.push_back(id_of(n * 256));
  }
  std::vector<ObjectId> stay(ids.begin(), ids.begin() + 4);
  for (const ObjectId& id : stay) set_state(insert(id), object_state::kSealed);
  std::atomic<bool> done{false};
  std::atomic<int> missed{0}, unsettled{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; t++) {
    readers.emplace_back([&] {
      while (!done.load()) {
        for (const ObjectId& id : stay) {
          bool settled = false;
          const FoundEntry found = ObjectTable(segment).find_present(id, &settled);
          if (!settled) {
            unsettled++;
          } else if (found.index == kNone || !has_id(segment.entry(found.index), id)) {
            missed++;
          }
        }
      }
    });
  }
  ObjectTable table(segment);
  std::mt19937_64 random(3);
  std::map<size_t, uint32_t> others;
  for (int step = 0; step < 60'000; step++) {
    // Others of the same chain come and go, and their entries move to another chain meanwhile.
    const size_t i = 4 + random() % (ids.size() - 4);
    if (others.count(i) == 0) {
      const uint32_t index = insert(random() % 2 == 0 ? ids[i] : id_of(1'000'001 + i));
      set_state(index, object_state::kSealed);
      others[i] = index;
    } else {
      set_state(others[i], object_state::kDeleting);
      ASSERT_TRUE(table.remove(others[i]).ok());
      others.erase(i);
    }
    if (step % 5000 == 4999) {
      segment.header().rebuild.fetch_add(1);
      ASSERT_TRUE(table.rebuild().ok());
      segment.header().rebuild.fetch_add(1);
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(missed, 0);
  expect_sound();
}

TEST_F(ObjectTableTest, GarbageIsAnErrorOrNotFound) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 300; round++) {
    segment_->table() = TableState{};
    ObjectTable table(*segment_);
    table.format();
    for (uint32_t b = 0; b < 1024; b++) segment_->bucket(b).store(0);
    for (uint64_t n = 0; n < 200; n++) set_state(insert(id_of(n)), object_state::kSealed);
    for (int flip = 0; flip < 20; flip++) {
      void* const bucket = &segment_->bucket(static_cast<uint32_t>(random() % 1024));
      void* const entry = &segment_->entry(static_cast<uint32_t>(random() % 200));
      auto* bytes = static_cast<uint8_t*>(random() % 2 == 0 ? bucket : entry);
      bytes[random() % (flip % 2 == 0 ? 8 : 64)] ^= static_cast<uint8_t>(1u << (random() % 8));
    }
    for (uint64_t n = 0; n < 210; n++) {
      bool settled = false;
      (void)table.find_present(id_of(n), &settled);
      const Result<FoundEntry> found = table.find_current(id_of(n));
      if (found.ok() && found.value().index != kNone && n % 3 == 0) (void)table.remove(found.value().index);
    }
    (void)table.check();
    (void)table.rebuild();
    (void)table.take();
    // The next round begins with entries that are in use as far as their state says.
    for (uint32_t i = 0; i < 256 && segment_->entry_exists(i); i++) segment_->entry(i).state.store(0);
  }
}

}  // namespace
}  // namespace eagleray
