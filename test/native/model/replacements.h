// SPDX-License-Identifier: Apache-2.0
// Included before everything else in each file of the library that the explorer runs (-include): what threads and processes share
// goes through explorer.h from here on. The library's own sources are not changed.
#pragma once

// All that the library and the tests include of the system, before the names below mean something else.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "explorer.h"
#include "full_fence.h"

namespace eagleray::model {

template <typename T>
T load_word(T* at) {
  before(at, Access::kLoad);
  uint64_t value = 0;
  return buffered(at, &value) ? static_cast<T>(value) : *at;
}

template <typename T>
void store_word(T* at, T value, std::memory_order order) {
  before(at, Access::kStore);
  if (!defer(at, static_cast<uint64_t>(value), sizeof(T), order == std::memory_order_seq_cst)) {
    drain();
    *at = value;
  }
  after(at);
}

template <typename T, typename Change>
T modify_word(T* at, Change change) {
  before(at, Access::kModify);
  const T old = *at;
  *at = change(old);
  after(at);
  return old;
}

template <typename T>
bool exchange_if(T* at, T& expected, T desired) {
  before(at, Access::kModify);
  if (*at != expected) {
    expected = *at;
    return false;
  }
  *at = desired;
  after(at);
  return true;
}

// The futex of a segment's lock; there is no other system call by number.
template <typename Word>
long no_syscall(long number, Word* word, int operation, uint32_t value, const timespec*, void*, int) {
  if (number != SYS_futex) std::abort();
  if (operation == FUTEX_WAIT) {
    futex_wait(reinterpret_cast<const uint32_t*>(word), value);
  } else {
    futex_wake();
  }
  return 0;
}

}  // namespace eagleray::model

namespace std {

template <typename T>
class model_atomic {
 public:
  static constexpr bool is_always_lock_free = true;
  model_atomic() = default;
  model_atomic(T value) : value_(value) {}  // NOLINT: as std::atomic
  model_atomic(const model_atomic&) = delete;
  model_atomic& operator=(const model_atomic&) = delete;

  T load(memory_order = memory_order_seq_cst) const { return eagleray::model::load_word(const_cast<T*>(&value_)); }
  void store(T value, memory_order order = memory_order_seq_cst) { eagleray::model::store_word(&value_, value, order); }
  T exchange(T value, memory_order = memory_order_seq_cst) {
    return eagleray::model::modify_word(&value_, [value](T) { return value; });
  }
  T fetch_add(T by, memory_order = memory_order_seq_cst) {
    return eagleray::model::modify_word(&value_, [by](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(T by, memory_order = memory_order_seq_cst) {
    return eagleray::model::modify_word(&value_, [by](T old) { return static_cast<T>(old - by); });
  }
  T fetch_or(T bits, memory_order = memory_order_seq_cst) {
    return eagleray::model::modify_word(&value_, [bits](T old) { return static_cast<T>(old | bits); });
  }
  T fetch_and(T bits, memory_order = memory_order_seq_cst) {
    return eagleray::model::modify_word(&value_, [bits](T old) { return static_cast<T>(old & bits); });
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order = memory_order_seq_cst, memory_order = memory_order_seq_cst) {
    return eagleray::model::exchange_if(&value_, expected, desired);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order = memory_order_seq_cst, memory_order = memory_order_seq_cst) {
    return eagleray::model::exchange_if(&value_, expected, desired);
  }
  operator T() const { return load(); }  // NOLINT: as std::atomic
  T operator=(T value) {
    store(value);
    return value;
  }

 private:
  alignas(sizeof(T)) T value_{};
};

template <typename T>
class model_atomic_ref {
 public:
  explicit model_atomic_ref(T& at) : at_(&at) {}
  T load(memory_order = memory_order_seq_cst) const { return eagleray::model::load_word(at_); }
  void store(T value, memory_order order = memory_order_seq_cst) const { eagleray::model::store_word(at_, value, order); }

 private:
  T* at_;
};

// What an execution that ended, or a thread that died, left locked is not locked in the next execution.
class model_mutex {
 public:
  void lock() {
    eagleray::model::pause_step();
    eagleray::model::wait_until([this] { return held_in_ != eagleray::model::epoch() || !held_; });
    held_ = true;
    held_in_ = eagleray::model::epoch();
  }
  void unlock() { held_ = false; }

 private:
  bool held_ = false;
  uint64_t held_in_ = 0;
};

}  // namespace std

// Bytes read without a lock while they may be changing: each word is a step, where it is watched.
#define __atomic_load_n(at, order) ::eagleray::model::load_word(at)
#define atomic model_atomic
#define atomic_ref model_atomic_ref
#define mutex model_mutex
#define full_fence model::fence
#define spin_pause model::spin
#define syscall ::eagleray::model::no_syscall
#define getpid ::eagleray::model::current_pid
