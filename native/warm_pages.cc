// SPDX-License-Identifier: Apache-2.0
#include "warm_pages.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

namespace eagleray {
namespace {

// Behind whoever works, but never starved: faults take locks of the address space that the others want too.
constexpr int kNice = 10;
// How far ahead of small objects: some thousand of them.
constexpr uint64_t kStepsAhead = 4;

// Makes this process's page table entry for the page at `word`, for writing, without changing a byte, whoever else writes it now.
__attribute__((no_sanitize("thread"))) void touch_page(std::byte* at) {
  __atomic_fetch_or(reinterpret_cast<uint64_t*>(at), 0, __ATOMIC_RELAXED);
}

}  // namespace

WarmPages::WarmPages(Segment& segment)
    : segment_(segment),
      steps_((segment.layout().heap_bytes + kStep - 1) / kStep),
      pid_(getpid()),
      warm_(new std::atomic<uint64_t>[steps_ / 64 + 1]()),
      written_(new std::atomic<uint64_t>[steps_ / 64 + 1]()),
      wanted_(new std::atomic<uint64_t>[steps_ / 64 + 1]()) {}

WarmPages::~WarmPages() {
  // A child made by fork has no thread to wait for.
  if (pid_ != getpid()) {
    if (thread_.joinable()) thread_.detach();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true, std::memory_order_relaxed);
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool WarmPages::set(const Bits& bits, uint64_t step) {
  const uint64_t bit = 1ull << (step % 64);
  if (has(bits, step)) return true;
  return (bits[step / 64].fetch_or(bit, std::memory_order_relaxed) & bit) != 0;
}

void WarmPages::written_cold(uint64_t offset) {
  if (set(written_, offset / kStep)) want(offset / kStep);
}

void WarmPages::ahead_of(uint64_t offset) {
  const uint64_t first = offset / kStep;
  for (uint64_t step = first; step < std::min(first + kStepsAhead, steps_); step++) want(step);
}

void WarmPages::all() {
  for (uint64_t step = 0; step < steps_; step++) want(step);
}

void WarmPages::want(uint64_t step) {
  if (has(wanted_, step) || !is_started_.load(std::memory_order_relaxed)) return;
  // Where nothing is reserved yet, a touch could fail; the wish may be made again.
  if (std::min((step + 1) * kStep, segment_.layout().heap_bytes) > reserved()) return;
  if (set(wanted_, step)) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    queue_.push_back(step);
    start();
  }
  wake_.notify_one();
}

void WarmPages::reserve_more() {
  const uint64_t from = reserved();
  const uint64_t to = std::min(from + kHeapStepBytes, segment_.layout().heap_bytes);
  uint64_t asked = asked_.load(std::memory_order_relaxed);
  if (to <= asked || !asked_.compare_exchange_strong(asked, to, std::memory_order_relaxed)) return;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    unfilled_.push_back({from, to});
    start();
  }
  wake_.notify_one();
}

void WarmPages::start() {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void WarmPages::run() {
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_.load(std::memory_order_relaxed) || !queue_.empty() || !unfilled_.empty(); });
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!unfilled_.empty()) {
      const auto [from, to] = unfilled_.front();
      unfilled_.pop_front();
      lock.unlock();
      fill(from, to);
    } else {
      const uint64_t step = queue_.front();
      queue_.pop_front();
      lock.unlock();
      touch(step);
    }
    lock.lock();
  }
}

// Reserves and has the kernel fill the range, in small steps: others of this process wait for each.
void WarmPages::fill(uint64_t from, uint64_t to) {
#ifndef MADV_POPULATE_WRITE
  constexpr int MADV_POPULATE_WRITE = 23;
#endif
  if (!segment_.ensure_heap_backed(to).ok()) return;  // a full file system is told by whoever needs the room
  for (uint64_t at = from; at < to && !stop_.load(std::memory_order_relaxed); at += kStep) {
    const uint64_t length = std::min(kStep, to - at);
    if (madvise(segment_.heap() + at, length, MADV_POPULATE_WRITE) != 0) return;  // before Linux 5.14
  }
}

void WarmPages::touch(uint64_t step) {
  const uint64_t end = std::min((step + 1) * kStep, segment_.layout().heap_bytes);
  for (uint64_t at = step * kStep; at < end; at += kPage) {
    if (stop_.load(std::memory_order_relaxed)) return;
    touch_page(segment_.heap() + at);
  }
  set(warm_, step);
}

}  // namespace eagleray
