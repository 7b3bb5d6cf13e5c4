// SPDX-License-Identifier: Apache-2.0
// Objects that go to disk and come back under every order of the steps of two or three processes: eviction against views, reads
// without a pin against a place that becomes another's, deletion against reading back.
#include "secondaries.h"
#include "spill.h"
#include "world.h"

namespace eagleray::model {
namespace {

constexpr uint64_t kSize = kPage;

std::vector<std::byte> filled(uint8_t with) { return std::vector<std::byte>(kSize, std::byte{with}); }

bool holds(const std::byte* bytes, uint8_t what) { return bytes[0] == std::byte{what} && bytes[kSize - 1] == std::byte{what}; }

enum class Where { kInHeap, kInHeapAndOnDisk, kOnDisk };

// Object 1 fills the heap's first page, or filled it.
void begin_with_one(World& world, Where where) {
  Store& store = world.store(0);
  if (!store.put(id_of(1), filled(1).data(), kSize).ok()) std::abort();
  if (where != Where::kInHeap) {
    const Result<uint64_t> freed = spill_objects(store, kSize);
    if (!freed.ok() || freed.value() != kSize) std::abort();
  }
  if (where == Where::kInHeapAndOnDisk) {
    const Result<View> view = store.view(id_of(1));
    if (!view.ok() || view.value().mapping != nullptr) std::abort();
    store.release(view.value());
  }
  // The hand does not spare it the first time round: half of the steps.
  world.segment().detail(0).used.store(0);
  world.remember();
}

// Views object 1, which may be gone only where somebody deletes it. In the heap the bytes are looked at where they lie for all: the
// private mapping shows the same.
void view_one(Store& store, bool may_be_gone) {
  const Result<View> view = store.view(id_of(1));
  if (view.code() == Code::kObjectNotFound && may_be_gone) return;
  if (!view.ok()) return fail("an object that exists cannot be viewed: " + view.status().describe());
  const Segment& segment = store.client()->segment();
  const bool in_heap = view.value().mapping == nullptr;
  const std::byte* const bytes = in_heap ? segment.heap() + (view.value().data - segment.private_heap()) : view.value().data;
  for (int i = 0; i < 2; i++) {
    if (!holds(bytes, 1)) fail("the bytes changed under a view");
    pause_step();
  }
  store.release(view.value());
}

void put_two(Store& store) {
  if (!store.put(id_of(2), filled(2).data(), kSize).ok()) fail("object 2 cannot be put");
}

// Takes object 1 out of the heap, if nobody views it, and puts another in its place.
void evict_one(Store& store) {
  if (!spill_objects(store, kSize).ok()) fail("object 1 cannot be spilled");
  put_two(store);
}

std::string outsider_sees(World& world, uint8_t n) {
  const Result<View> view = world.outside().view(id_of(n));
  if (!view.ok()) return "object " + std::to_string(n) + " is lost";
  const bool whole = holds(view.value().data, n);
  world.outside().release(view.value());
  return whole ? "" : "object " + std::to_string(n) + " holds other bytes";
}

Program program_of(World& world, bool one_stays, std::vector<std::function<void()>> threads) {
  Program program;
  program.reset = [&world] { world.reset(); };
  program.threads = std::move(threads);
  program.check = [&world, one_stays]() -> std::string {
    if (!one_stays && world.outside().contains(id_of(1))) return "object 1 is there after its deletion";
    std::string wrong = one_stays ? outsider_sees(world, 1) : "";
    if (wrong.empty()) wrong = outsider_sees(world, 2);
    return wrong.empty() ? world.wrong() : wrong;
  };
  program.watched = world.words();
  return program;
}

TEST(Spilling, AViewAgainstEvictionAndReuse) {
  World world(2, true);
  begin_with_one(world, Where::kInHeapAndOnDisk);
  const Program program = program_of(world, true, {[&] { evict_one(world.store(0)); }, [&] { view_one(world.store(1), false); }});
  expect_sound(explore(program, {.preemptions = 3}));
}

TEST(Spilling, AViewAgainstWritingAndEviction) {
  World world(2, true);
  begin_with_one(world, Where::kInHeap);
  const Program program = program_of(world, true, {[&] { evict_one(world.store(0)); }, [&] { view_one(world.store(1), false); }});
  expect_sound(explore(program, {.preemptions = 2}));
}

TEST(Spilling, ADeletionAgainstWritingAndEviction) {
  World world(2, true);
  begin_with_one(world, Where::kInHeap);
  const Program program = program_of(world, false, {[&] { evict_one(world.store(0)); }, [&] {
                                                      if (!world.store(1).remove(id_of(1)).value()) fail("object 1 cannot be deleted");
                                                    }});
  expect_sound(explore(program, {.preemptions = 2}));
}

// What somebody wrote into a view is gone before another object takes the place, also where this process itself held the object for
// writing it to disk when the view ended.
TEST(Spilling, AViewThatIsWrittenToInTheProcessThatSpills) {
  World world(1, true);
  begin_with_one(world, Where::kInHeap);
  Store& store = world.store(0);
  auto* const page = const_cast<std::byte*>(store.client()->segment().private_heap());
  Program program = program_of(world, true, {[&] { evict_one(store); }, [&] {
                                               const Result<View> view = store.view(id_of(1));
                                               if (!view.ok()) return fail("object 1 cannot be viewed");
                                               const_cast<std::byte*>(view.value().data)[0] = std::byte{9};
                                               store.release(view.value());
                                             }});
  program.reset = [&world, page] {
    world.reset();
    (void)madvise(page, 2 * kPage, MADV_DONTNEED);
  };
  program.check = [&world, &store]() -> std::string {
    for (const uint8_t n : {uint8_t{1}, uint8_t{2}}) {
      const Result<View> view = store.view(id_of(n));
      if (!view.ok()) return "an object is lost";
      const bool whole = holds(view.value().data, n);
      store.release(view.value());
      if (!whole) return "what was written into a view is seen in another";
    }
    return world.wrong();
  };
  expect_sound(explore(program, {.preemptions = 2}));
}

// Object 1 goes, another takes its place, and it comes back to the next page.
TEST(Spilling, AReadAgainstEvictionAndReturnToAnotherPlace) {
  World world(2, true);
  begin_with_one(world, Where::kInHeapAndOnDisk);
  Program program = program_of(world, true, {[&] {
                                               evict_one(world.store(0));
                                               view_one(world.store(0), false);
                                             },
                                             [&] {
                                               std::byte bytes[kSize];
                                               const Result<uint64_t> size = world.store(1).read(id_of(1), bytes, kSize);
                                               if (size.code() == Code::kSpilled) return;
                                               if (!size.ok() || size.value() != kSize) return fail("object 1 cannot be read");
                                               if (!holds(bytes, 1)) fail("the bytes of another object were read");
                                             }});
  world.watch_places(program.watched);
  expect_sound(explore(program, {.preemptions = 3}));
}

// Object 1 is a copy of what another node has.
void begin_with_a_copy(World& world) {
  Store& store = world.store(0);
  const Result<std::byte*> bytes = store.create(id_of(1), kSize, true);
  if (!bytes.ok()) std::abort();
  std::memcpy(bytes.value(), filled(1).data(), kSize);
  if (!store.seal(id_of(1)).ok()) std::abort();
  world.segment().detail(0).used.store(0);
  world.remember();
}

void drop_one_and_put_two(Store& store) {
  if (!drop_secondaries(*store.client(), kSize).ok()) fail("secondary copies cannot be dropped");
  put_two(store);
}

Program program_of_a_copy(World& world, std::vector<std::function<void()>> threads) {
  Program program = program_of(world, true, std::move(threads));
  program.check = [&world]() -> std::string {
    std::string wrong = world.outside().contains(id_of(1)) ? outsider_sees(world, 1) : "";
    if (wrong.empty()) wrong = outsider_sees(world, 2);
    return wrong.empty() ? world.wrong() : wrong;
  };
  return program;
}

TEST(Secondaries, AViewAgainstDroppingAndReuse) {
  World world(2, true);
  begin_with_a_copy(world);
  const Program program = program_of_a_copy(world, {[&] { drop_one_and_put_two(world.store(0)); }, [&] { view_one(world.store(1), true); }});
  expect_sound(explore(program, {.preemptions = 3}));
}

TEST(Secondaries, TwoViewsAgainstDroppingAndReuse) {
  World world(3, true);
  begin_with_a_copy(world);
  const Program program = program_of_a_copy(
      world, {[&] { drop_one_and_put_two(world.store(0)); }, [&] { view_one(world.store(1), true); }, [&] { view_one(world.store(2), true); }});
  expect_sound(explore(program, {.preemptions = 2}));
}

TEST(Secondaries, ADeletionAgainstDropping) {
  World world(2, true);
  begin_with_a_copy(world);
  Program program =
      program_of_a_copy(world, {[&] { drop_one_and_put_two(world.store(0)); }, [&] { (void)world.store(1).remove(id_of(1)); }});
  program.check = [&world]() -> std::string {
    if (world.outside().contains(id_of(1))) return "object 1 is there after its deletion";
    const std::string wrong = outsider_sees(world, 2);
    return wrong.empty() ? world.wrong() : wrong;
  };
  expect_sound(explore(program, {.preemptions = 3}));
}

// Promoted in time, it stays; else it is gone, and its promoter is told.
TEST(Secondaries, APromotionAgainstDropping) {
  World world(2, true);
  begin_with_a_copy(world);
  bool promoted = false;
  Program program = program_of_a_copy(world, {[&] { drop_one_and_put_two(world.store(0)); },
                                              [&] { promoted = world.store(1).promote(id_of(1)).value(); }});
  program.check = [&world, &promoted]() -> std::string {
    if (promoted != world.outside().contains(id_of(1))) return "object 1 was promoted and is gone, or stayed unpromoted";
    const std::string wrong = outsider_sees(world, 2);
    return wrong.empty() ? world.wrong() : wrong;
  };
  expect_sound(explore(program, {.preemptions = 3}));
}

// Another object of the same id in the same entry and place: either's bytes, and no mixture.
TEST(Spilling, AReadAgainstDeletionAndReuse) {
  World world(2, true);
  begin_with_one(world, Where::kInHeap);
  Program program = program_of(world, false, {});
  program.check = [&] { return world.wrong(); };
  program.threads = {[&] {
                       if (!world.store(0).remove(id_of(1)).value()) fail("object 1 cannot be deleted");
                       if (!world.store(0).put(id_of(1), filled(3).data(), kSize).ok()) fail("object 1 cannot be put again");
                     },
                     [&] {
                       std::byte bytes[kSize];
                       const Result<uint64_t> size = world.store(1).read(id_of(1), bytes, kSize);
                       if (size.code() == Code::kObjectNotFound) return;
                       if (!size.ok() || size.value() != kSize) return fail("object 1 cannot be read");
                       if (!holds(bytes, 1) && !holds(bytes, 3)) fail("a mixture of two objects was read");
                     }};
  world.watch_places(program.watched);
  expect_sound(explore(program, {.preemptions = 3}));
}

TEST(Spilling, ADeletionAgainstReadingBack) {
  World world(2, true);
  begin_with_one(world, Where::kOnDisk);
  const Program program = program_of(world, false, {[&] {
                                                      if (!world.store(0).remove(id_of(1)).value()) fail("object 1 cannot be deleted");
                                                      put_two(world.store(0));
                                                    },
                                                    [&] { view_one(world.store(1), true); }});
  expect_sound(explore(program, {.preemptions = 3}));
}

// The second reader maps the file while the first reads it back.
TEST(Spilling, ADeletionAgainstTwoReaders) {
  World world(3, true);
  begin_with_one(world, Where::kOnDisk);
  const Program program = program_of(world, false, {[&] {
                                                      if (!world.store(0).remove(id_of(1)).value()) fail("object 1 cannot be deleted");
                                                      put_two(world.store(0));
                                                    },
                                                    [&] { view_one(world.store(1), true); }, [&] { view_one(world.store(2), true); }});
  expect_sound(explore(program, {.preemptions = 2}));
}

}  // namespace
}  // namespace eagleray::model
