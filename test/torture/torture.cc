// SPDX-License-Identifier: Apache-2.0
// Three processes use one store at once, and one after the other is killed with SIGKILL wherever it is, and reaped. After each kill an
// outsider looks, while the others go on: allocator, table, pins and channels are sound, every byte is accounted for, what the dead
// process had sealed is there and whole, nothing it was making is left, and the lock is not its own. In two of three runs (--spill
// says it) the heap is too small and most objects are on disk: then every copy there has its place in a file too.
//
//   torture [--kills 500] [--seed N] [--spill 0|1]      exit 0 when all held; 1 and one line on what did not
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>
#include <string>

#include "crowd.h"
#include "port.h"
#include "segment_lock.h"
#include "spill_files.h"
#include "store_channels.h"

namespace eagleray::torture {
namespace {

constexpr uint64_t kHeap = 8 << 20;
constexpr uint64_t kSpillingHeap = 1 << 20;
// What a living process has begun is done by then, however busy the machine is.
constexpr time_t kPatienceSeconds = 60;

struct Place {
  pid_t pid = 0;
  uint64_t life = 0;
};

class Torture {
 public:
  Torture(uint64_t kills, uint64_t seed, bool spills)
      : kills_(kills), random_(seed), spills_(spills), heap_bytes_(spills ? kSpillingHeap : kHeap) {}
  ~Torture() {
    for (const Place& place : places_) {
      if (place.pid > 0) kill(place.pid, SIGKILL);
    }
    store_.reset();
    std::filesystem::remove_all(root_);
  }

  std::string run() {
    std::string wrong = begin();
    for (uint64_t killed = 0; wrong.empty() && killed < kills_; killed++) {
      const uint32_t victim = static_cast<uint32_t>(random_() % kCrowd);
      wrong = wait_for_chance(victim);
      if (wrong.empty()) wrong = end(victim);
      if (wrong.empty()) wrong = look(victim);
      if (wrong.empty()) join(victim);
      if (killed % 1000 == 999) std::printf("%llu killed\n", static_cast<unsigned long long>(killed + 1));
      std::fflush(stdout);
    }
    return wrong.empty() ? end_of_all() : wrong;
  }

  uint64_t steps() const { return steps_; }
  uint64_t spilled() const { return spilled_; }
  uint64_t restored() const { return restored_; }

 private:
  std::string begin() {
    root_ = std::filesystem::exists("/dev/shm") ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    root_ += "/eagleray-torture-XXXXXX";
    if (mkdtemp(root_.data()) == nullptr) return "no directory";
    connect_store_to_channels();
    void* shared = mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return "no memory";
    notes_ = new (shared) Notes{};
    SegmentOptions options{heap_bytes_, 1024, NodeId{}};
    if (spills_) options.spill_directory = root_ + "/disk";
    std::filesystem::create_directory(root_ + "/disk");
    const Result<std::shared_ptr<Client>> client = Client::create(root_ + "/store", options, false);
    if (!client.ok()) return client.status().describe();
    store_.emplace(client.value());
    for (uint32_t place = 0; place < kCrowd; place++) join(place);
    return "";
  }

  void join(uint32_t place) {
    places_[place].life = ++lives_;
    for (std::atomic<Note>& note : notes_->own[place]) note = Note::kNothing;
    steps_ += notes_->steps[place].exchange(0);
    const uint64_t seed = random_();
    places_[place].pid = fork();
    if (places_[place].pid != 0) return;
    if (nice(10) < 0) std::abort();  // the outsider is to be quick with its kill, however few cores there are
    _exit(misbehave(root_ + "/store", *notes_, place, places_[place].life, seed, spills_));
  }

  // Until the process has come as far as chance says, and then a little further.
  std::string wait_for_chance(uint32_t victim) {
    const uint64_t steps = random_() % 40;
    while (notes_->steps[victim].load(std::memory_order_relaxed) < steps) {
      int status = 0;
      if (waitpid(places_[victim].pid, &status, WNOHANG) != 0) {
        places_[victim].pid = 0;
        return "a process found something wrong, or crashed: status " + std::to_string(status);
      }
      const timespec moment{0, 50'000};
      nanosleep(&moment, nullptr);
    }
    const timespec chance{0, static_cast<long>(random_() % 200'000)};
    nanosleep(&chance, nullptr);
    return "";
  }

  std::string end(uint32_t victim) {
    kill(places_[victim].pid, SIGKILL);
    int status = 0;
    waitpid(places_[victim].pid, &status, 0);
    places_[victim].pid = 0;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) return "a process ended by itself: status " + std::to_string(status);
    const Result<std::vector<uint32_t>> reaped = store_->reap_dead();
    if (!reaped.ok()) return reaped.status().describe();
    // Whoever holds the lock now lives.
    const uint32_t lock = store_->client()->segment().header().lock.load();
    for (const uint32_t slot : reaped.value()) {
      const uint32_t generation = client_state::generation(store_->client()->segment().client(slot).state.load());
      if ((lock & 1023) == slot + 1 && (lock >> 10 & 0x1fffff) == generation) return "the lock is held by the dead";
    }
    return "";
  }

  // What must hold after the kill, while the others go on.
  std::string look(uint32_t victim) {
    const Result<std::optional<std::string>> checked = store_->check();
    if (!checked.ok()) return checked.status().describe();
    if (checked.value().has_value()) return *checked.value();
    const std::string missing = missing_on_disk();
    if (!missing.empty()) return missing;
    const uint64_t life = places_[victim].life;
    for (uint32_t n = 0; n < kOwnObjects; n++) {
      const ObjectId id = id_of(life, n);
      const Note note = notes_->own[victim][n].load();
      const std::string name = "object " + std::to_string(n) + " of life " + std::to_string(life);
      const Result<View> view = store_->view(id);
      if (!view.ok() && view.code() != Code::kObjectNotFound) return name + ": " + view.status().describe();
      if (note == Note::kSealed && !view.ok()) return name + " was sealed and is lost";
      if (note == Note::kNothing && view.ok()) return name + " is there and was deleted, or never put";
      if (!view.ok()) continue;
      const bool whole = view.value().size == notes_->sizes[victim][n].load() && is_filled(view.value().data, id, view.value().size);
      store_->release(view.value());
      if (!whole) return name + " is torn";
      if (!store_->remove(id).ok()) return name + " cannot be deleted";
    }
    return nothing_left_of(life);
  }

  // Every copy on disk lies within a file that exists. Files go only when no object names them, which the lock keeps from changing.
  std::string missing_on_disk() {
    Segment& segment = store_->client()->segment();
    SegmentLock lock(segment, store_->client()->slot(), store_->client()->generation());
    if (!lock.ok()) return lock.status().describe();
    for (uint32_t i = 0; i < segment.entry_end(); i++) {
      // What is being made on disk may have no file yet.
      if (!object_state::is_present(segment.entry(i).state.load()) || segment.detail(i).file == 0) continue;
      const std::optional<DiskPlace> place = SpillFiles(segment).place_of(i);
      if (!place.has_value()) return "an object's copy on disk has an impossible place";
      const uint64_t size = segment.entry(i).size.load();
      if (size == 0) continue;  // nothing was written: it may lie where its file ends before its first byte
      struct stat info;
      if (stat(segment.spill_path(place->serial).c_str(), &info) != 0) return "an object's copy is in a file that is gone";
      if (static_cast<uint64_t>(info.st_size) < place->offset + size) return "an object's copy lies beyond its file's end";
    }
    return "";
  }

  // No entry of that life: neither half made, nor deleted and held by nobody. Others hold only what is common; but a living process
  // that was just writing one to disk lets go of it when it is done.
  std::string nothing_left_of(uint64_t life) {
    const time_t limit = time(nullptr) + kPatienceSeconds;
    while (true) {
      const Result<std::vector<ObjectInfo>> objects = store_->list();
      if (!objects.ok()) return objects.status().describe();
      std::string left;
      bool is_deleted = true;
      for (const ObjectInfo& object : objects.value()) {
        uint64_t owner = 0;
        std::memcpy(&owner, object.id.data(), 8);
        if (owner == life) left = "an object of life " + std::to_string(life) + " is left in state " + std::to_string(object.state);
        if (owner == life) is_deleted &= object.state == object_state::kDeleting;
        for (const uint32_t slot : object.pinned_by) {
          ClientInfo client;
          if (!client_info(store_->client()->segment(), slot, &client)) return "an object is pinned by nobody";
        }
      }
      if (left.empty() || !spills_ || !is_deleted || time(nullptr) >= limit) return left;
      sched_yield();
    }
  }

  // Without objects there are no files but the one that this process writes to.
  std::string nothing_left_on_disk() {
    Client& client = *store_->client();
    {
      SegmentLock lock(client.segment(), client.slot(), client.generation());
      if (!lock.ok()) return lock.status().describe();
      SpillFiles(client.segment()).close_of(client.slot(), client.generation());
    }
    reclaim_disk(client.segment(), client.slot(), client.generation(), true);
    if (store_->stats().value().disk_bytes != 0) return "bytes on disk are counted that nobody has";
    return std::filesystem::is_empty(root_ + "/disk") ? "" : "a file is left on disk that holds nothing";
  }

  std::string end_of_all() {
    for (uint32_t place = 0; place < kCrowd; place++) {
      std::string wrong = end(place);
      if (wrong.empty()) wrong = look(place);
      if (!wrong.empty()) return wrong;
      steps_ += notes_->steps[place].exchange(0);
    }
    const std::vector<ObjectInfo> left = store_->list().value();
    for (const ObjectInfo& object : left) {
      if (object.state != object_state::kSealed && object.state != object_state::kSpilled) return "an object is left that is not sealed";
      const Result<View> view = store_->view(object.id);
      if (!view.ok() || !is_filled(view.value().data, object.id, view.value().size)) return "a common object is torn";
      store_->release(view.value());
      (void)store_->remove(object.id);
    }
    const uint32_t self = store_->client()->slot();
    (void)close_channels_of(store_->client()->segment().channels(), store_->client()->bells(), peer_of(store_->client()->worker_id()), false);
    const StoreStats stats = store_->stats().value();
    spilled_ = stats.spilled_objects;
    restored_ = stats.restored_objects;
    if (stats.clients != 1 || self != 0) return "a dead client is left";
    if (stats.objects != 0 || stats.used_bytes != 0 || stats.pins != 0) return "something is left of all that";
    if (stats.channels != 0) return "a channel is left";
    if (store_->client()->segment().header().lock.load() != 0) return "the lock is held by nobody";
    if (spills_ && (spilled_ == 0 || restored_ == 0)) return "nothing was spilled and read back: the heap is too large for this";
    const std::string on_disk = nothing_left_on_disk();
    if (!on_disk.empty()) return on_disk;
    if (!store_->create(id_of(0, 0), heap_bytes_).ok()) return "the heap is not in one piece any more";
    return store_->abort(id_of(0, 0)).ok() ? "" : "the last object cannot be aborted";
  }

  const uint64_t kills_;
  std::mt19937_64 random_;
  const bool spills_;
  const uint64_t heap_bytes_;
  uint64_t spilled_ = 0;
  uint64_t restored_ = 0;
  std::string root_;
  std::optional<Store> store_;
  Notes* notes_ = nullptr;
  Place places_[kCrowd];
  uint64_t lives_ = 0;
  uint64_t steps_ = 0;
};

}  // namespace
}  // namespace eagleray::torture

int main(int count, char** arguments) {
  uint64_t kills = 500;
  uint64_t seed = static_cast<uint64_t>(time(nullptr));
  int spill = -1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--kills") kills = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--seed") seed = std::strtoull(arguments[i + 1], nullptr, 10);
    if (name == "--spill") spill = std::atoi(arguments[i + 1]);
  }
  const bool spills = spill < 0 ? seed % 3 != 0 : spill != 0;
  eagleray::torture::Torture torture(kills, seed, spills);
  const std::string wrong = torture.run();
  std::printf("%llu kills, %llu operations, %llu objects spilled and %llu read back, seed %llu, spill %d: %s\n",
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(torture.steps()),
              static_cast<unsigned long long>(torture.spilled()), static_cast<unsigned long long>(torture.restored()),
              static_cast<unsigned long long>(seed), spills ? 1 : 0, wrong.empty() ? "all held" : wrong.c_str());
  return wrong.empty() ? 0 : 1;
}
