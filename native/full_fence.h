// SPDX-License-Identifier: Apache-2.0
// The barriers of protocols without locks: store-load, for "publish, then look whether the other side sleeps", and load-load, for "copy,
// then look whether it was still that".
#pragma once

#include <atomic>

namespace eagleray {

// Whatever this thread wrote before is visible to all before anything it reads after.
inline void full_fence() {
#if defined(__SANITIZE_THREAD__)
  static std::atomic<int> anything{0};  // ThreadSanitizer does not know fences; a seq_cst read-modify-write it does
  anything.fetch_add(1, std::memory_order_seq_cst);
#elif defined(__x86_64__)
  __asm__ __volatile__("lock; orq $0, (%%rsp)" ::: "memory", "cc");  // several times faster than mfence
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Whatever this thread reads after was not read before what it read until now.
inline void loads_before_loads() {
#if defined(__SANITIZE_THREAD__)
  full_fence();
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// Tells the core that this is a spin.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

}  // namespace eagleray
