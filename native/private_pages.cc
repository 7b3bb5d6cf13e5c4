// SPDX-License-Identifier: Apache-2.0
#include "private_pages.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace eagleray {
namespace {

// As in <linux/fs.h> from Linux 6.7 on; older headers lack it.
struct PageRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};
struct ScanArgs {
  uint64_t size;
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;  // where it stopped
  uint64_t vec;
  uint64_t vec_len;
  uint64_t max_pages;
  uint64_t category_inverted;
  uint64_t category_mask;
  uint64_t category_anyof_mask;
  uint64_t return_mask;
};
constexpr unsigned long kPagemapScan = _IOWR('f', 16, ScanArgs);
constexpr uint64_t kOfFile = 1 << 2;
constexpr uint64_t kPresent = 1 << 3;
constexpr uint64_t kSwapped = 1 << 4;

// Whoever wrote into more places than this gets the rest forgotten as a whole.
constexpr uint64_t kRegions = 32;

// Up to kRegions runs of private pages: how many, or -1.
int scan(int pagemap, uint64_t begin, uint64_t end, PageRegion* regions, uint64_t* walked) {
  ScanArgs args{};
  args.size = sizeof args;
  args.start = begin;
  args.end = end;
  args.vec = reinterpret_cast<uint64_t>(regions);
  args.vec_len = kRegions;
  // Here or swapped out, and not the file's.
  args.category_inverted = kOfFile;
  args.category_mask = kOfFile;
  args.category_anyof_mask = kPresent | kSwapped;
  args.return_mask = kPresent;
  const int found = ioctl(pagemap, kPagemapScan, &args);
  *walked = args.walk_end;
  return found;
}

void forget(uint64_t begin, uint64_t end) { (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED); }

}  // namespace

PrivatePages::PrivatePages() : pagemap_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)), pid_(getpid()) {
  if (pagemap_ < 0) return;
  PageRegion regions[kRegions];
  uint64_t walked = 0;
  const auto page = reinterpret_cast<uint64_t>(regions) & ~uint64_t{4095};
  if (scan(pagemap_, page, page + 4096, regions, &walked) >= 0) return;
  close(pagemap_);
  pagemap_ = -1;
}

PrivatePages::~PrivatePages() {
  if (pagemap_ >= 0) close(pagemap_);
}

void PrivatePages::discard(std::byte* begin, uint64_t bytes) const {
  const auto first = reinterpret_cast<uint64_t>(begin);
  const uint64_t end = first + bytes;
  if (pagemap_ < 0 || pid_ != getpid()) return forget(first, end);
  PageRegion regions[kRegions];
  uint64_t walked = first;
  const int found = scan(pagemap_, first, end, regions, &walked);
  if (found < 0) return forget(first, end);
  for (int i = 0; i < found; i++) forget(regions[i].start, regions[i].end);
  if (static_cast<uint64_t>(found) == kRegions && walked < end) forget(walked, end);
}

}  // namespace eagleray
