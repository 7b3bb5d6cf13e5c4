// SPDX-License-Identifier: Apache-2.0
#include "spill.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <utility>
#include <vector>

#include "allocator.h"
#include "fault_points.h"
#include "reaper.h"
#include "secondaries.h"
#include "segment_lock.h"
#include "spill_files.h"
#include "store.h"

namespace eagleray {
namespace {

// Entries looked at in one hold of the lock: some microseconds.
constexpr uint32_t kScanStep = 512;
// What is written between two holds of the lock: enough to keep a disk busy, little enough that others see room soon.
constexpr uint64_t kBatchBytes = 16ull << 20;
constexpr size_t kBatchObjects = 512;
// Left free on the file system of the files: other programs break when it is full to the last byte.
constexpr uint64_t kLeftFreeShare = 20;
constexpr uint64_t kLeftFreeBytesMax = 4ull << 30;

struct Victim {
  uint32_t index;
  uint64_t word;
  const std::byte* data;
  uint64_t size;
  DiskPlace place;
};

}  // namespace

Status check_disk_room(Segment& segment, uint64_t bytes) {
  const std::string directory = segment.directory() + "/spill";
  const Result<int> fd = segment.spill_directory();
  if (!fd.ok()) return fd.status();
  struct statvfs info;
  if (fstatvfs(fd.value(), &info) != 0) return system_error("statvfs " + directory, errno);
  const uint64_t whole = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
  const uint64_t room = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  const uint64_t left = std::min(whole / kLeftFreeShare, kLeftFreeBytesMax);
  if (room >= left && room - left >= bytes) return Status();
  return Status(Code::kDiskFull, "the file system of " + directory + " has " + std::to_string(room) + " bytes left, of which " +
                                     std::to_string(left) + " stay free; " + std::to_string(bytes) + " more do not fit");
}

// One call of spill_objects.
class Spiller {
 public:
  Spiller(Store& store, uint64_t bytes) : store_(store), client_(*store.client()), segment_(client_.segment()), wanted_(bytes) {}

  Result<uint64_t> run() {
    // What another node has too goes before anything that has to be written.
    const Result<uint64_t> dropped = drop_secondaries(client_, wanted_);
    if (!dropped.ok()) return dropped;
    freed_ = dropped.value();
    if (freed_ >= wanted_) return freed_;
    // Before anything goes: also what has a copy on disk must stay in memory when nobody can get at that.
    const Result<int> directory = segment_.spill_directory();
    if (!directory.ok()) return directory.status();
    std::lock_guard<std::mutex> only(client_.spilling());
    while (freed_ < wanted_ && !went_round_) {
      batch_.clear();
      batch_bytes_ = 0;
      Status status = choose();
      if (!status.ok()) return status;
      if (batch_.empty()) continue;
      status = write();
      if (!status.ok()) {
        disk_ = status;
        give_up();
        continue;
      }
      status = finish();
      if (!status.ok()) return status;
      for (const auto& [index, generation] : kept_) store_.unpin(index, generation);
      kept_.clear();
    }
    if (freed_ == 0 && !disk_.ok()) return disk_;
    return freed_;
  }

 private:
  // Evicts what is on disk already and claims what must be written, from the hand on. A step of the table, or a full batch.
  Status choose() {
    SegmentLock lock(segment_, client_.slot(), client_.generation());
    if (!lock.ok()) return lock.status();
    SpillFiles files(segment_);
    const uint32_t end = segment_.entry_end();
    // Twice: the first time may spare everything.
    went_round_ = steps_++ > 2ull * end / kScanStep;
    uint32_t& hand = segment_.spill().hand;
    for (uint32_t scanned = 0; scanned < std::min(kScanStep, end); scanned++) {
      if (freed_ + batch_bytes_ >= wanted_ || batch_bytes_ >= kBatchBytes || batch_.size() >= kBatchObjects) break;
      if (hand >= end) hand = 0;
      const uint32_t index = hand++;
      ObjectEntry& entry = segment_.entry(index);
      const uint64_t word = entry.state.load(std::memory_order_seq_cst);
      if (object_state::state(word) != object_state::kSealed || is_pinned(entry)) continue;
      ObjectDetail& detail = segment_.detail(index);
      if (detail.secondary != 0) continue;
      if (detail.used.exchange(0, std::memory_order_relaxed) != 0) continue;
      if (detail.file != 0) {
        const Result<bool> gone = evict(index, word, false);
        if (!gone.ok()) return gone.status();
        continue;
      }
      if (!disk_.ok()) continue;
      Status status = claim(files, index, word);
      if (status.code() == Code::kDiskFull) {
        disk_ = status;
        continue;
      }
      if (!status.ok()) return status;
    }
    return Status();
  }

  // Pins it for this process and gives it a place on disk. REQUIRES: the segment lock is held.
  Status claim(SpillFiles& files, uint32_t index, uint64_t word) {
    ObjectEntry& entry = segment_.entry(index);
    std::lock_guard<std::mutex> stripe(client_.pins().stripe(index));
    if (client_.pins().count(index).pins != 0) return Status();
    if (batch_.empty()) {
      const Result<uint32_t> file = files.writing(client_.slot(), client_.generation());
      if (!file.ok()) return file.status();
      file_ = file.value();
      file_begin_ = segment_.spill_file(file_).bytes;
    }
    const uint64_t size = entry.size.load(std::memory_order_relaxed);
    const uint64_t offset = entry.offset.load(std::memory_order_relaxed);
    if (size > segment_.layout().heap_bytes || offset > segment_.layout().heap_bytes - size) {
      return Status(Code::kStoreCorrupt, "object " + to_hex(load_id(entry)) + " lies outside the heap");
    }
    const Result<DiskPlace> place = files.append(file_, size);
    if (!place.ok()) return place.status();
    client_.pins().count(index).pins = 1;
    client_.pins().came(size);
    entry.pins[client_.slot() / 64].fetch_or(own_bit(), std::memory_order_seq_cst);
    batch_.push_back({index, word, segment_.heap() + offset, size, place.value()});
    batch_bytes_ += block_bytes(size);
    EAGLERAY_FAULT("spill.claimed");
    return Status();
  }

  Status write() {
    Status status = check_disk_room(segment_, segment_.spill_file(file_).bytes - file_begin_);
    for (const Victim& victim : batch_) {
      if (!status.ok()) return status;
      status = write_spilled(segment_, victim.place.serial, victim.place.offset, victim.data, victim.size);
    }
    EAGLERAY_FAULT("spill.written");
    return status;
  }

  Status finish() {
    SegmentLock lock(segment_, client_.slot(), client_.generation());
    if (!lock.ok()) return lock.status();
    SpillState& state = segment_.spill();
    const uint32_t file = file_;
    while (!batch_.empty()) {
      const Victim victim = batch_.back();
      const uint64_t word = segment_.entry(victim.index).state.load(std::memory_order_seq_cst);
      bool is_gone = false;
      if (word == victim.word) {
        SpillFiles(segment_).attach(victim.index, victim.place);
        state.spilled_objects.fetch_add(1, std::memory_order_relaxed);
        state.spilled_bytes.fetch_add(victim.size, std::memory_order_relaxed);
        EAGLERAY_FAULT("spill.attached");
        const Result<bool> gone = evict(victim.index, word, true);
        if (!gone.ok()) return gone.status();
        is_gone = gone.value();
      } else {
        SpillFiles(segment_).waste(file, victim.size);
      }
      // Somebody views it, or deleted it: its pin goes without the lock.
      if (!is_gone) kept_.push_back({victim.index, object_state::generation(victim.word)});
      batch_.pop_back();
    }
    SpillFiles(segment_).settle_writes(file);
    return Status();
  }

  // Takes an object with a copy on disk out of the heap, unless somebody views it. `claimed`: this process holds its own pin of it,
  // which goes with it. REQUIRES: the segment lock is held; the state is `word`, sealed.
  Result<bool> evict(uint32_t index, uint64_t word, bool claimed) {
    ObjectEntry& entry = segment_.entry(index);
    std::lock_guard<std::mutex> stripe(client_.pins().stripe(index));
    PinCount& count = client_.pins().count(index);
    if (count.pins != (claimed ? 1u : 0u)) return false;
    const uint64_t generation = object_state::generation(word);
    entry.state.store(object_state::make(object_state::kEvicting, generation), std::memory_order_seq_cst);
    EAGLERAY_FAULT("evict.evicting");
    for (uint32_t i = 0; i < kClientWords; i++) {
      const uint64_t own = claimed && i == client_.slot() / 64 ? own_bit() : 0;
      if ((entry.pins[i].load(std::memory_order_seq_cst) & ~own) == 0) continue;
      entry.state.store(word, std::memory_order_seq_cst);
      return false;
    }
    // A view that ended while the object was claimed left what it wrote to this process's last pin, which is the claim.
    if (count.viewed) store_.discard_written(index);
    const uint32_t block = entry.block;
    entry.state.store(object_state::make(object_state::kSpilled, generation + 1), std::memory_order_seq_cst);
    EAGLERAY_FAULT("evict.spilled");
    entry.offset.store(kNowhere, std::memory_order_relaxed);
    entry.block = kNone;
    Status status = Allocator(segment_).free(block);
    EAGLERAY_FAULT("evict.freed");
    if (claimed) {
      count = PinCount{0, 0};
      client_.pins().went(entry.size.load(std::memory_order_relaxed));
      entry.pins[client_.slot() / 64].fetch_and(~own_bit(), std::memory_order_seq_cst);
    }
    if (!status.ok()) return status;
    freed_ += block_bytes(entry.size.load(std::memory_order_relaxed));
    segment_.spill().evicted_objects.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  // What was claimed and not written stays in memory, and its places are taken back, also from the disk: it may be what others lack.
  void give_up() {
    for (const Victim& victim : batch_) kept_.push_back({victim.index, object_state::generation(victim.word)});
    cut_spilled(segment_, batch_.front().place.serial, file_begin_);
    {
      SegmentLock lock(segment_, client_.slot(), client_.generation());
      if (lock.ok()) {
        SpillFile& file = segment_.spill_file(file_);
        segment_.spill().disk_bytes -= file.bytes - file_begin_;
        file.bytes = file_begin_;
        // A file that cannot be written to is not tried again.
        if (disk_.code() != Code::kDiskFull) SpillFiles(segment_).close_of(client_.slot(), client_.generation());
      }
    }
    for (const auto& [index, generation] : kept_) store_.unpin(index, generation);
    batch_.clear();
    kept_.clear();
  }

  uint64_t own_bit() const { return 1ull << (client_.slot() % 64); }

  Store& store_;
  Client& client_;
  Segment& segment_;
  const uint64_t wanted_;
  uint64_t freed_ = 0;
  uint64_t steps_ = 0;       // of the hand
  bool went_round_ = false;  // it has come by all
  std::vector<Victim> batch_;  // claimed, not yet finished
  uint64_t batch_bytes_ = 0;
  uint32_t file_ = 0;
  uint64_t file_begin_ = 0;
  Status disk_;  // why nothing more can be written; what has a copy can go all the same
  std::vector<std::pair<uint32_t, uint64_t>> kept_;  // pins to give back: entry, generation
};

Result<uint64_t> spill_objects(Store& store, uint64_t bytes) {
  Client& client = *store.client();
  Result<uint64_t> freed = Spiller(store, bytes).run();
  if (freed.code() == Code::kDiskFull) {
    // What is dead on disk may be all that is in the way.
    reclaim_disk(client.segment(), client.slot(), client.generation(), true);
    freed = Spiller(store, bytes).run();
  }
  reclaim_disk(client.segment(), client.slot(), client.generation(), false);
  return freed;
}

}  // namespace eagleray
