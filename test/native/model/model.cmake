# SPDX-License-Identifier: Apache-2.0
# The library as the explorer runs it, and mutants of it: the same with one line changed, in which the explorer must find the fault.
set(model ${CMAKE_SOURCE_DIR}/test/native/model)

# What processes share is in none of these: copies, the system's list of processes, the thread that warms pages.
set(model_sources ${store_sources})
list(FILTER model_sources EXCLUDE REGEX "native/(copy|process|warm_pages)\\.cc")
add_library(eagleray_model STATIC ${model_sources})
add_library(model_plain OBJECT native/copy.cc)
add_library(model_scenarios OBJECT ${model}/explorer.cc ${model}/processes.cc ${model}/object_model.cc ${model}/spill_model.cc ${model}/channel_model.cc)
foreach(target eagleray_model model_scenarios)
  target_compile_options(${target} PRIVATE -include ${model}/replacements.h)
endforeach()
foreach(target eagleray_model model_plain model_scenarios)
  target_include_directories(${target} PRIVATE native ${model})
  target_link_libraries(${target} PRIVATE GTest::gtest)
endforeach()

function(add_model name)
  add_executable(${name} ${ARGN} $<TARGET_OBJECTS:model_scenarios> $<TARGET_OBJECTS:model_plain>)
  target_include_directories(${name} PRIVATE native ${model})
  target_link_libraries(${name} PRIVATE eagleray_model Threads::Threads GTest::gtest_main)
endfunction()

add_model(model_test)
gtest_discover_tests(model_test DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 300)

# Replaces `from`, which must be there, by `to` in a copy of the source. The test named must then find a violation.
function(add_mutant name source test from to)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/native/${source})
  file(READ ${CMAKE_SOURCE_DIR}/native/${source} text)
  string(FIND "${text}" "${from}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "The mutant ${name} does not find its line in native/${source}: adapt it in test/native/model/model.cmake")
  endif()
  string(REPLACE "${from}" "${to}" mutated "${text}")
  file(CONFIGURE OUTPUT mutants/${name}.cc CONTENT "${mutated}" @ONLY)
  add_model(mutant_${name} ${CMAKE_BINARY_DIR}/mutants/${name}.cc)
  set_source_files_properties(${CMAKE_BINARY_DIR}/mutants/${name}.cc PROPERTIES COMPILE_OPTIONS "-include;${model}/replacements.h")
  add_test(NAME Mutant.${name} COMMAND mutant_${name} --gtest_filter=${test})
  set_tests_properties(Mutant.${name} PROPERTIES ENVIRONMENT EAGLERAY_MUTANT=1 TIMEOUT 300)
endfunction()

# The reader looks whether the object still is there, and then sets its bit.
add_mutant(pin_after_look store_read.cc Pins.AViewAgainstDeletionAndReuse
[[      if (count.pins == 0) pins.fetch_or(bit, std::memory_order_seq_cst);
      EAGLERAY_FAULT("view.pinned");
      word = entry.state.load(std::memory_order_seq_cst);]]
[[      word = entry.state.load(std::memory_order_seq_cst);
      if (count.pins == 0) pins.fetch_or(bit, std::memory_order_seq_cst);]])

# Who takes its bit back does not look whether the deleter left the freeing to it.
add_mutant(undo_frees_nothing store_read.cc Pins.AViewAgainstDeletionAndReuse
[[    if (object_state::state(word) == object_state::kDeleting) free_if_last(found.index, object_state::generation(word));]] [[]])

# Who takes an object out of the heap looks at the pins, and then says so.
add_mutant(evict_after_look spill.cc Spilling.AViewAgainstEvictionAndReuse
[[    entry.state.store(object_state::make(object_state::kEvicting, generation), std::memory_order_seq_cst);
    EAGLERAY_FAULT("evict.evicting");
    for (uint32_t i = 0; i < kClientWords; i++) {
      const uint64_t own = claimed && i == client_.slot() / 64 ? own_bit() : 0;
      if ((entry.pins[i].load(std::memory_order_seq_cst) & ~own) == 0) continue;
      entry.state.store(word, std::memory_order_seq_cst);
      return false;
    }]]
[[    for (uint32_t i = 0; i < kClientWords; i++) {
      const uint64_t own = claimed && i == client_.slot() / 64 ? own_bit() : 0;
      if ((entry.pins[i].load(std::memory_order_seq_cst) & ~own) != 0) return false;
    }
    entry.state.store(object_state::make(object_state::kEvicting, generation), std::memory_order_seq_cst);]])

# An object that comes back to another place has the state word that it had.
add_mutant(generation_stays spill.cc Spilling.AReadAgainstEvictionAndReturnToAnotherPlace
[[object_state::make(object_state::kSpilled, generation + 1)]] [[object_state::make(object_state::kSpilled, generation)]])

# A secondary copy is dropped though somebody came first.
add_mutant(drop_looks_early secondaries.cc Secondaries.AViewAgainstDroppingAndReuse
[[  if (is_pinned(entry)) {]] [[  if (segment.spill().quota_bytes.load() == 0) {]])

# A chain's version stays when an entry leaves it.
add_mutant(version_stays object_table.cc Chains.ALookUpThroughAnEntryThatIsReused [[(head >> 32) + 1, link_of(head))]] [[(head >> 32), link_of(head))]])

# The lock is let go without a word to who sleeps.
add_mutant(unlock_wakes_nobody segment_lock.cc Lock.IsHeldByOneAtATimeAndWakesWhoSleeps
[[if ((was & kWaiters) != 0) futex_wake_one(word);]] [[if ((was & kWaiters) != 0 && false) futex_wake_one(word);]])

# Of two who find the holder dead each takes its lock.
add_mutant(both_take_over segment_lock.cc Lock.IsTakenOverByOneOfTwoWhoFindItsHolderDead
[[    if (word.compare_exchange_strong(seen, mine | kWaiters, std::memory_order_acquire, std::memory_order_relaxed)) {
      took_over_ = true;]]
[[    {
      word.store(mine | kWaiters);
      took_over_ = true;]])

# What the holder that died left is not repaired.
add_mutant(no_rebuild segment_lock.cc Lock.IsTakenOverFromTheDead
[[if (took_over_ || (header.rebuild.load(std::memory_order_relaxed) & 1) != 0) {]] [[if (took_over_ && segment.directory().empty()) {]])

# A packet is published before its bytes are there.
add_mutant(tail_before_bytes ring.cc Rings.PacketsThatWrapArriveWholeAndInOrder
[[  const PacketHeader header{length, length ^ kLengthSeal};]]
[[  control_->tail.store(tail_ + span, std::memory_order_release);
  const PacketHeader header{length, length ^ kLengthSeal};]])

# Room is given back before the packet was copied out.
add_mutant(room_before_copy ring.cc Rings.AProducerThatWaitsForRoomHearsOfIt
[[  if (header.length > capacity) return RingResult::kTooLong;]]
[[  if (header.length > capacity) return RingResult::kTooLong;
  control_->head.store(head_ + span, std::memory_order_release);]])

# The reaper believes a mailbox that says its owner is awake.
add_mutant(rouse_believes wake.cc Sleeping.AWakeUpThatADeadProcessOwedIsMadeUpFor
[[  region_.mailbox(slot).sealed.store(1, std::memory_order_release);
  ring(slot);]]
[[  region_.mailbox(slot).sealed.store(1, std::memory_order_release);
  wake(slot);]])
