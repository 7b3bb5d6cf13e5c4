// SPDX-License-Identifier: Apache-2.0
// Objects under every order of the steps of two or three processes: pins against deletion and reuse, look-ups against chains that
// change, the lock against the death of its holder.
#include "segment_lock.h"
#include "world.h"

namespace eagleray::model {
namespace {

constexpr uint64_t kSize = kPage;

std::vector<std::byte> filled(uint8_t with) { return std::vector<std::byte>(kSize, std::byte{with}); }

// Views object 1, looks at its bytes for a while, and releases it. Looks where they lie for all, which costs no page fault; the
// private mapping shows the same.
void view_one(Store& store) {
  const Result<View> view = store.view(id_of(1));
  if (!view.ok()) return;
  const Segment& segment = store.client()->segment();
  const std::byte* const bytes = segment.heap() + (view.value().data - segment.private_heap());
  for (int i = 0; i < 2; i++) {
    if (bytes[0] != std::byte{1} || bytes[kSize - 1] != std::byte{1}) fail("the bytes changed under a view");
    pause_step();
  }
  store.release(view.value());
}

// Deletes object 1 and puts another, which takes its entry and its memory if they are free.
void replace_one(Store& store) {
  const Result<bool> removed = store.remove(id_of(1));
  if (!removed.ok() || !removed.value()) fail("object 1 cannot be deleted");
  if (!store.put(id_of(2), filled(2).data(), kSize).ok()) fail("object 2 cannot be put");
}

Program pins_program(World& world, std::vector<std::function<void()>> threads) {
  if (!world.store(0).put(id_of(1), filled(1).data(), kSize).ok()) std::abort();
  world.remember();
  Program program;
  program.reset = [&world] { world.reset(); };
  program.threads = std::move(threads);
  program.check = [&world]() -> std::string {
    if (world.outside().contains(id_of(1))) return "object 1 is there after its deletion";
    if (!world.outside().contains(id_of(2))) return "object 2 is lost";
    return world.wrong();
  };
  program.watched = world.words();
  return program;
}

TEST(Pins, AViewAgainstDeletionAndReuse) {
  World world(2);
  const Program program = pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }});
  expect_sound(explore(program, {.preemptions = 3}));
}

TEST(Pins, TwoReadersOfWhomEitherMayBeTheLast) {
  World world(3);
  const Program program =
      pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }, [&] { view_one(world.store(2)); }});
  expect_sound(explore(program, {.preemptions = 2}));
}

TEST(Pins, TwoThreadsOfOneProcess) {
  World world(2);
  const Program program =
      pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }, [&] { view_one(world.store(1)); }});
  expect_sound(explore(program, {.preemptions = 2}));
}

TEST(Pins, AReaderKilledAnywhere) {
  World world(2);
  const Program program = pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }});
  expect_sound(explore(program, {.preemptions = 2, .deaths = 1, .mortal = {1}}));
}

TEST(Pins, StoresThatWaitInBuffers) {
  World world(2);
  const Program program = pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }});
  expect_sound(explore(program, {.preemptions = 3, .buffers = true}));
}

// The deleter's mark must be seen before it looks at the pins: an ordinary store is not enough.
TEST(Pins, ADelayedMarkIsFound) {
  World world(2);
  const Program program = pins_program(world, {[&] { replace_one(world.store(0)); }, [&] { view_one(world.store(1)); }});
  expect_sound(explore(program, {.preemptions = 3, .buffers = true, .weak_stores = true}), true);
}

// Ids whose chain is that of id 1, or another.
ObjectId id_in_chain_of_one(bool same, uint64_t from) {
  const uint64_t mask = kMinTableCapacity - 1;
  for (uint64_t n = from;; n++) {
    if (((hash_object_id(id_of(n)) & mask) == (hash_object_id(id_of(1)) & mask)) == same) return id_of(n);
  }
}

// A reader on the way through an entry that is freed and reused in another chain must not miss what lies behind it.
TEST(Chains, ALookUpThroughAnEntryThatIsReused) {
  World world(2);
  const ObjectId behind = id_in_chain_of_one(true, 2), elsewhere = id_in_chain_of_one(false, 2);
  const ObjectId front = id_in_chain_of_one(true, behind[19] + behind[18] * 256u + behind[17] * 65536u + 1);
  for (const ObjectId& id : {behind, id_of(1), front}) {
    if (!world.store(0).put(id, "a", 1).ok()) std::abort();
  }
  world.remember();
  Program program;
  program.reset = [&] { world.reset(); };
  program.threads = {[&] {
                       (void)world.store(0).remove(id_of(1));
                       if (!world.store(0).put(elsewhere, "c", 1).ok()) fail("nothing can be put");
                     },
                     [&] {
                       if (!world.store(1).contains(behind)) fail("a sealed object is not found");
                     }};
  program.check = [&] { return world.wrong(); };
  program.watched = world.words();
  for (const ObjectId& id : {id_of(1), elsewhere}) world.watch_bucket(program.watched, id);
  expect_sound(explore(program, {.preemptions = 3}));
}

// The same chain, out of which one entry goes and into which another comes, and a second reader of what comes.
TEST(Chains, ALookUpWhileTheChainGrowsAndShrinks) {
  World world(3);
  const ObjectId behind = id_in_chain_of_one(true, 2);
  const ObjectId next = id_in_chain_of_one(true, behind[19] + behind[18] * 256u + behind[17] * 65536u + 1);
  if (!world.store(0).put(behind, "b", 1).ok() || !world.store(0).put(id_of(1), "a", 1).ok()) std::abort();
  world.remember();
  bool sealed = false;
  Program program;
  program.reset = [&] {
    world.reset();
    sealed = false;
  };
  program.threads = {[&] {
                       (void)world.store(0).remove(id_of(1));
                       if (!world.store(0).put(next, "c", 1).ok()) fail("nothing can be put");
                       sealed = true;
                     },
                     [&] {
                       if (!world.store(1).contains(behind)) fail("a sealed object is not found");
                     },
                     [&] {
                       const bool was = sealed;
                       if (!world.store(2).contains(next) && was) fail("a sealed object is not found");
                     }};
  program.check = [&] { return world.wrong(); };
  program.watched = world.words();
  world.watch_bucket(program.watched, id_of(1));
  expect_sound(explore(program, {.preemptions = 2}));
}

// Processes put at once, and one is killed at any step, also while it holds the lock or takes it over from another.
Program lock_program(World& world, int processes) {
  if (!world.store(0).put(id_of(1), filled(1).data(), kSize).ok()) std::abort();
  world.remember();
  Program program;
  program.reset = [&world] { world.reset(); };
  for (int i = 0; i < processes; i++) {
    program.threads.push_back([&world, i] {
      if (!world.store(i).put(id_of(10 + static_cast<uint64_t>(i)), "x", 1).ok()) fail("nothing can be put");
    });
  }
  program.check = [&world, processes]() -> std::string {
    for (int i = 0; i < processes; i++) {
      if (!pid_is_dead(1000u + static_cast<uint32_t>(i)) && !world.outside().contains(id_of(10 + static_cast<uint64_t>(i)))) {
        return "what a living process put is lost";
      }
    }
    if (!world.outside().contains(id_of(1))) return "a sealed object is lost";
    const std::string wrong = world.wrong();
    return wrong.empty() && world.segment().header().lock.load() != 0 ? "the lock is held by nobody" : wrong;
  };
  program.watched = world.lock_words();
  return program;
}

TEST(Lock, IsHeldByOneAtATimeAndWakesWhoSleeps) {
  World world(3);
  expect_sound(explore(lock_program(world, 3), {.preemptions = 2}));
}

TEST(Lock, IsTakenOverFromTheDead) {
  World world(2);
  expect_sound(explore(lock_program(world, 2), {.preemptions = 2, .deaths = 1, .mortal = {0}}));
}

TEST(Lock, IsTakenOverFromOneWhoTookItOver) {
  World world(3);
  expect_sound(explore(lock_program(world, 3), {.preemptions = 0, .deaths = 2, .mortal = {0, 1}}));
}

// Two wait for a lock whose holder is dead, find that out at the same time, and both try to take it over. What they do under it is next to
// nothing, so that the way there can be explored.
struct Heir {
  bool inside = false, done = false;
};

void inherit_lock(World& world, std::array<Heir, 3>& heirs, int process) {
  wait_until([] { return is_dead(0); });
  Client& client = *world.store(process).client();
  const SegmentLock lock(client.segment(), client.slot(), client.generation());
  if (!lock.ok()) return fail("the lock cannot be taken over");
  const int other = 3 - process;
  if (heirs[static_cast<size_t>(other)].inside && !is_dead(other)) fail("two are under the lock");
  Heir& heir = heirs[static_cast<size_t>(process)];
  heir.inside = true;
  pause_step();
  heir = {false, true};
}

Program heirs_program(World& world, std::array<Heir, 3>& heirs) {
  if (!world.store(0).put(id_of(1), filled(1).data(), kSize).ok()) std::abort();
  world.remember();
  Program program;
  program.reset = [&world, &heirs] {
    world.reset();
    heirs = {};
  };
  program.threads = {[&world] {
                       Client& client = *world.store(0).client();
                       const SegmentLock lock(client.segment(), client.slot(), client.generation());
                       die();
                     },
                     [&world, &heirs] { inherit_lock(world, heirs, 1); }, [&world, &heirs] { inherit_lock(world, heirs, 2); }};
  program.check = [&world, &heirs]() -> std::string {
    for (const uint32_t process : {1u, 2u}) {
      if (!heirs[process].done && !pid_is_dead(1000 + process)) return "a living process did not get the lock";
    }
    if (pid_is_dead(1001)) return "";  // as the last, it may have left anything to the next who wants the lock
    // What a rebuild leaves is looked at by the tests above; to do that here takes ten times as long as all else.
    SegmentHeader& header = world.segment().header();
    if ((header.rebuild.load() & 1) != 0) return "the rebuild was not brought to its end";
    return header.lock.load() != 0 ? "the lock is held by nobody" : "";
  };
  program.watched = world.the_lock();
  return program;
}

TEST(Lock, IsTakenOverByOneOfTwoWhoFindItsHolderDead) {
  World world(3);
  std::array<Heir, 3> heirs;
  expect_sound(explore(heirs_program(world, heirs), {.preemptions = 2}));
}

TEST(Lock, IsTakenOverOnceMoreWhenOneOfTheTwoDiesOfIt) {
  World world(3);
  std::array<Heir, 3> heirs;
  expect_sound(explore(heirs_program(world, heirs), {.preemptions = 1, .deaths = 1, .mortal = {1}}));
}

}  // namespace
}  // namespace eagleray::model
