// SPDX-License-Identifier: Apache-2.0
#include "copy.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

namespace eagleray {
namespace {

// What one thread takes at a time: so small that a helper that loses its core holds up the end by little.
constexpr uint64_t kSliceBytes = 1ull << 20;
constexpr unsigned kMostHelpers = 3;
constexpr uint64_t kHugeSourceBytes = 4ull << 20;

void copy_slice(const CopyPart& slice) {
  if (slice.source == nullptr) {
    std::memset(slice.target, 0, slice.length);
  } else {
    std::memcpy(slice.target, slice.source, slice.length);
  }
}

std::vector<CopyPart> cut(std::span<const CopyPart> parts) {
  std::vector<CopyPart> slices;
  for (const CopyPart& part : parts) {
    for (uint64_t at = 0; at < part.length; at += kSliceBytes) {
      const std::byte* source = part.source == nullptr ? nullptr : part.source + at;
      slices.push_back({part.target + at, source, std::min(kSliceBytes, part.length - at)});
    }
  }
  return slices;
}

// Threads that sleep until there is a copy to help with. One copy at a time: who finds the pool busy copies alone.
class CopyPool {
 public:
  // The pool of this process (a child made by fork has threads of its own, not its parent's). Null on a single core.
  static CopyPool* get() {
    static std::mutex mutex;
    static CopyPool* pool = nullptr;
    const unsigned cores = std::thread::hardware_concurrency();
    if (cores < 2) return nullptr;
    std::lock_guard<std::mutex> lock(mutex);
    // Never destroyed: its threads sleep in it until the process ends.
    if (pool == nullptr || pool->pid_ != getpid()) pool = new CopyPool(std::min(cores - 1, kMostHelpers));
    return pool;
  }

  void run(std::span<const CopyPart> slices) {
    std::unique_lock<std::mutex> only(busy_, std::try_to_lock);
    if (!only.owns_lock()) {
      for (const CopyPart& slice : slices) copy_slice(slice);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      slices_ = slices;
      next_.store(0, std::memory_order_relaxed);
      open_ = true;
    }
    wake_.notify_all();
    work(slices);
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = false;  // a helper that wakes only now finds nothing to do
    idle_.wait(lock, [this] { return helping_ == 0; });
  }

 private:
  explicit CopyPool(unsigned helpers) : pid_(getpid()) {
    for (unsigned i = 0; i < helpers; i++) std::thread([this] { help(); }).detach();
  }

  void work(std::span<const CopyPart> slices) {
    for (size_t i = next_.fetch_add(1); i < slices.size(); i = next_.fetch_add(1)) copy_slice(slices[i]);
  }

  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return open_ && next_.load(std::memory_order_relaxed) < slices_.size(); });
      helping_++;
      const std::span<const CopyPart> slices = slices_;
      lock.unlock();
      work(slices);
      lock.lock();
      if (--helping_ == 0) idle_.notify_one();
    }
  }

  const int pid_;
  std::mutex busy_;
  std::mutex mutex_;  // guards everything below but next_
  std::condition_variable wake_;
  std::condition_variable idle_;
  std::span<const CopyPart> slices_;
  bool open_ = false;
  unsigned helping_ = 0;
  std::atomic<size_t> next_{0};
};

}  // namespace

// An array that nobody has written to yet is read page by page from the kernel's zero page, a fault each; with huge pages one fault
// covers 2 MiB (four times the speed for fresh arrays). Advice only: it may be refused, and pages that are there are not touched.
void advise_source(const CopyPart& part) {
  if (part.source == nullptr || part.length < kHugeSourceBytes) return;
  const uintptr_t from = (reinterpret_cast<uintptr_t>(part.source) + 4095) & ~uintptr_t{4095};
  const uintptr_t to = (reinterpret_cast<uintptr_t>(part.source) + part.length) & ~uintptr_t{4095};
  madvise(reinterpret_cast<void*>(from), to - from, MADV_HUGEPAGE);
}

void copy_parts(std::span<const CopyPart> parts) {
  uint64_t total = 0;
  for (const CopyPart& part : parts) total += part.length;
  for (const CopyPart& part : parts) advise_source(part);
  CopyPool* pool = total < kParallelCopyBytes ? nullptr : CopyPool::get();
  if (pool != nullptr) {
    const std::vector<CopyPart> slices = cut(parts);
    pool->run(slices);
    return;
  }
  for (const CopyPart& part : parts) {
    if (part.length > 0) copy_slice(part);
  }
}

}  // namespace eagleray
