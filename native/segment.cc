// SPDX-License-Identifier: Apache-2.0
#include "segment.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "allocator.h"
#include "channel.h"
#include "fault_points.h"
#include "object_table.h"

namespace eagleray {
namespace {

// Entries and block records are reserved in steps of this.
constexpr uint64_t kTableStepBytes = 256 * 1024;
// A single fallocate of more than this could be started over by signals for ever.
constexpr uint64_t kReserveStepBytes = 64ull << 20;

std::string file_path(const std::string& directory) { return directory + "/segment"; }

Status check_header(const SegmentHeader& header, uint64_t file_bytes, const std::string& path) {
  const auto no = [&path](Code code, const char* why) { return Status(code, "open store " + path + ": " + why); };
  if (header.magic != kMagic) return no(Code::kStoreVersion, "not a segment of a store (wrong magic)");
  if (header.version != kLayoutVersion || header.header_bytes != sizeof(SegmentHeader)) {
    return no(Code::kStoreVersion, "made by a version with another layout");
  }
  if (header.checksum != header_checksum(header)) return no(Code::kStoreCorrupt, "the header's checksum does not match");
  const Layout layout = compute_layout(header.layout.heap_bytes, header.layout.table_capacity);
  if (layout.file_bytes == 0 || std::memcmp(&layout, &header.layout, sizeof layout) != 0) {
    return no(Code::kStoreCorrupt, "the header's offsets contradict each other");
  }
  if (file_bytes != layout.file_bytes) return no(Code::kStoreCorrupt, "the file is truncated or too long");
  if (header.corrupt.load() != 0) return no(Code::kStoreCorrupt, "it was found corrupt earlier");
  if (header.heap_backed.load() > layout.heap_bytes || header.entries_backed.load() > layout.details - layout.entries ||
      header.details_backed.load() > layout.blocks - layout.details ||
      header.blocks_backed.load() > layout.channels - layout.blocks) {
    return no(Code::kStoreCorrupt, "more is marked as reserved than there is");
  }
  return Status();
}

Status check_room(const std::string& directory, uint64_t bytes) {
  struct statvfs info;
  if (statvfs(directory.c_str(), &info) != 0) return system_error("statvfs " + directory, errno);
  const uint64_t room = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  if (bytes <= room) return Status();
  return Status(Code::kStoreSpace, "create store " + directory + ": a capacity of " + std::to_string(bytes) +
                                       " bytes does not fit the file system, which has " + std::to_string(room) + " bytes left");
}

uint64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

}  // namespace

Segment::Segment(std::string directory, int file, const Layout& layout)
    : directory_(std::move(directory)), file_(file), layout_(layout), spill_directory_(directory_ + "/spill") {}

Segment::~Segment() {
  if (shared_ != nullptr) munmap(shared_, layout_.file_bytes);
  if (private_ != nullptr) munmap(private_, layout_.file_bytes);
  if (file_ >= 0) close(file_);
}

Status Segment::map() {
  const auto map_once = [this](int flags) {
    void* at = mmap(nullptr, layout_.file_bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file_, 0);
    return at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at);
  };
  shared_ = map_once(MAP_SHARED);
  private_ = shared_ == nullptr ? nullptr : map_once(MAP_PRIVATE);
  if (private_ == nullptr) return system_error("map " + file_path(directory_), errno);
  // A core dump of a client need not hold the store.
  madvise(shared_, layout_.file_bytes, MADV_DONTDUMP);
  madvise(private_, layout_.file_bytes, MADV_DONTDUMP);
  // Where the system gives huge pages to shared memory that asks (shmem_enabled `advise`); elsewhere nothing.
  madvise(shared_ + layout_.heap, layout_.heap_bytes, MADV_HUGEPAGE);
  return Status();
}

Result<std::unique_ptr<Segment>> Segment::create(const std::string& directory, const SegmentOptions& options) {
  const uint64_t heap_bytes = (std::min(options.capacity_bytes, kMaxHeapBytes) + kPage - 1) & ~(kPage - 1);
  const uint32_t wanted =
      options.table_capacity == 0 ? default_table_capacity(heap_bytes) : std::min(options.table_capacity, kMaxTableCapacity);
  const Layout layout = compute_layout(heap_bytes, std::max(std::bit_ceil(wanted), kMinTableCapacity));
  if (layout.file_bytes == 0 || options.capacity_bytes > kMaxHeapBytes) {
    return Status(Code::kInvalidArgument, "create store " + directory + ": the capacity must be between " + std::to_string(kMinHeapBytes) +
                                              " and " + std::to_string(kMaxHeapBytes) + " bytes, not " +
                                              std::to_string(options.capacity_bytes));
  }
  if (mkdir(directory.c_str(), 0700) != 0) return system_error("create store " + directory, errno);
  chmod(directory.c_str(), 0700);  // whatever the umask
  EAGLERAY_FAULT("make.directory");
  const std::string building = directory + "/segment.new";
  const auto build = [&]() -> Result<std::unique_ptr<Segment>> {
    Status room = check_room(directory, heap_bytes);
    if (!room.ok()) return room;
    const int file = ::open(building.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return system_error("create " + building, errno);
    std::unique_ptr<Segment> segment(new Segment(directory, file, layout));
    if (ftruncate(file, static_cast<off_t>(layout.file_bytes)) != 0) return system_error("size " + building, errno);
    return fill(std::move(segment), options);
  };
  Result<std::unique_ptr<Segment>> result = build();
  EAGLERAY_FAULT("make.filled");
  if (result.ok() && rename(building.c_str(), file_path(directory).c_str()) != 0) result = system_error("name " + building, errno);
  if (!result.ok()) {
    unlink(building.c_str());
    unlink((directory + "/spill").c_str());
    rmdir(directory.c_str());
  }
  EAGLERAY_FAULT("make.named");
  return result;
}

Result<std::unique_ptr<Segment>> Segment::fill(std::unique_ptr<Segment> segment, const SegmentOptions& options) {
  const Layout& layout = segment->layout_;
  // Everything that is not reserved step by step.
  Status status = segment->ensure_backed(0, layout.entries);
  if (status.ok()) status = segment->ensure_backed(layout.channels, kChannelControlBytes);
  if (status.ok()) status = segment->map();
  if (!status.ok()) return status;
  SegmentHeader& header = segment->header();
  header.magic = kMagic;
  header.version = kLayoutVersion;
  header.header_bytes = sizeof(SegmentHeader);
  header.layout = layout;
  std::memcpy(header.node_id, options.node_id.data(), kNodeIdBytes);
  header.created_at_ms = now_ms();
  header.checksum = header_checksum(header);
  if (!options.spill_directory.empty()) {
    const std::string link = segment->directory_ + "/spill";
    if (symlink(options.spill_directory.c_str(), link.c_str()) != 0) return system_error("link " + link, errno);
    status = segment->spill_directory_.adopt(segment->spill());
    if (!status.ok()) return status;
    segment->spill().quota_bytes.store(options.spill_quota_bytes);
  }
  ObjectTable(*segment).format();
  status = Allocator(*segment).format();
  if (status.ok()) status = init_channel_region(segment->channels());
  if (!status.ok()) return status;
  return segment;
}

Result<std::unique_ptr<Segment>> Segment::open(const std::string& directory) {
  const std::string path = file_path(directory);
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) return system_error("open store " + path, errno);
  std::unique_ptr<Segment> segment(new Segment(directory, file, Layout{}));  // closes the file
  struct stat info;
  if (fstat(file, &info) != 0) return system_error("stat " + path, errno);
  const auto header = std::make_unique<SegmentHeader>();
  const ssize_t got = pread(file, static_cast<void*>(header.get()), sizeof(SegmentHeader), 0);
  if (got < 0) return system_error("read " + path, errno);
  if (static_cast<size_t>(got) < sizeof(SegmentHeader)) {
    return Status(Code::kStoreVersion, "open store " + path + ": not a segment of a store (too short)");
  }
  Status status = check_header(*header, static_cast<uint64_t>(info.st_size), path);
  if (!status.ok()) return status;
  segment->layout_ = header->layout;
  status = segment->map();
  if (!status.ok()) return status;
  return segment;
}

Status Segment::ensure_backed(uint64_t offset, uint64_t length) {
  while (length > 0) {
    const uint64_t step = std::min(length, kReserveStepBytes);
    if (fallocate(file_, 0, static_cast<off_t>(offset), static_cast<off_t>(step)) != 0) {
      if (errno == EINTR) continue;
      return system_error("reserve " + std::to_string(step) + " bytes of " + file_path(directory_), errno);
    }
    offset += step;
    length -= step;
  }
  return Status();
}

Status Segment::ensure_prefix_backed(std::atomic<uint64_t>& mark, uint64_t section, uint64_t section_bytes, uint64_t end, uint64_t step) {
  uint64_t backed = mark.load(std::memory_order_acquire);
  if (end <= backed) return Status();
  if (end > section_bytes) return Status(Code::kStoreCorrupt, "a block lies beyond its section of " + file_path(directory_));
  const uint64_t target = std::min(section_bytes, (end + step - 1) / step * step);
  Status status = ensure_backed(section + backed, target - backed);
  if (!status.ok() && status.code() == Code::kStoreSpace && target > end) {
    status = ensure_backed(section + backed, end - backed);  // not all the step, but what is needed
    if (status.ok()) return status;  // the mark stays: it counts whole steps only, and reserving again is free
  }
  if (!status.ok()) return status;
  EAGLERAY_FAULT("back.reserved");
  while (backed < target && !mark.compare_exchange_weak(backed, target, std::memory_order_acq_rel)) {
  }
  return Status();
}

Status Segment::ensure_heap_backed(uint64_t end) {
  return ensure_prefix_backed(header().heap_backed, layout_.heap, layout_.heap_bytes, end, kHeapStepBytes);
}

bool Segment::read_heap(uint64_t offset, std::byte* target, uint64_t length) {
  while (length > 0) {
    const ssize_t got = pread(file_, target, length, static_cast<off_t>(layout_.heap + offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    offset += static_cast<uint64_t>(got);
    target += got;
    length -= static_cast<uint64_t>(got);
  }
  return true;
}

bool Segment::write_heap(uint64_t offset, const std::byte* bytes, uint64_t length) {
  while (length > 0) {
    const ssize_t written = pwrite(file_, bytes, length, static_cast<off_t>(layout_.heap + offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    offset += static_cast<uint64_t>(written);
    bytes += written;
    length -= static_cast<uint64_t>(written);
  }
  return true;
}

// The detail first: an entry that exists has one.
Status Segment::ensure_entry_backed(uint32_t index) {
  const uint64_t count = static_cast<uint64_t>(index) + 1;
  Status status = ensure_prefix_backed(header().details_backed, layout_.details, layout_.blocks - layout_.details, count * sizeof(ObjectDetail),
                                       kTableStepBytes);
  if (!status.ok()) return status;
  return ensure_prefix_backed(header().entries_backed, layout_.entries, layout_.details - layout_.entries, count * sizeof(ObjectEntry),
                              kTableStepBytes);
}

Status Segment::ensure_block_backed(uint32_t index) {
  const uint64_t end = (static_cast<uint64_t>(index) + 1) * sizeof(BlockRecord);
  return ensure_prefix_backed(header().blocks_backed, layout_.blocks, layout_.channels - layout_.blocks, end, kTableStepBytes);
}

}  // namespace eagleray
