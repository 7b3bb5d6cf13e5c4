// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <utility>

#include "fault_points.h"
#include "process.h"
#include "reaper.h"

namespace eagleray {
namespace {

// One attachment a process and segment file. Keyed by the file and not by its path: a path may name a new store later.
struct Registry {
  std::mutex mutex;
  std::map<std::pair<uint64_t, uint64_t>, std::weak_ptr<Client>> clients;
};

Registry& registry() {
  static Registry* const instance = new Registry;  // outlives every static destructor that might still detach
  return *instance;
}

Result<std::pair<uint64_t, uint64_t>> file_key(const std::string& directory) {
  struct stat info;
  const std::string path = directory + "/segment";
  if (stat(path.c_str(), &info) != 0) return system_error("open store " + path, errno);
  return std::pair<uint64_t, uint64_t>(info.st_dev, info.st_ino);
}

// From this many clients on, an attach first gives back the slots of dead ones: nobody else may be there to do so.
constexpr uint32_t kCrowded = kMaxClients / 2;

}  // namespace

Client::Client(std::unique_ptr<Segment> segment)
    : segment_(std::move(segment)),
      pid_(getpid()),
      pins_(segment_->layout().table_capacity),
      warm_pages_(*segment_),
      bells_(segment_->channels(), segment_->directory()) {}

Client::~Client() {
  // A child made by fork holds a copy of this object and nothing of what it stands for.
  if (slot_ == kNone || pid_ != getpid()) return;
  // A corrupt segment cannot be left in order; whoever else uses it learns of that by itself.
  (void)give_back_client(*this, slot_, generation_, false);
}

Result<std::shared_ptr<Client>> Client::create(const std::string& directory, const SegmentOptions& options, bool prefault) {
  Result<std::unique_ptr<Segment>> segment = Segment::create(directory, options);
  if (!segment.ok()) return segment.status();
  const Result<std::pair<uint64_t, uint64_t>> key = file_key(directory);
  if (!key.ok()) return key.status();
  Result<std::shared_ptr<Client>> client = enter(std::move(segment.value()));
  if (client.ok() && prefault) {
    Status status = client.value()->prefault();
    if (!status.ok()) return status;
  }
  if (!client.ok()) return client;
  std::lock_guard<std::mutex> lock(registry().mutex);
  registry().clients[key.value()] = client.value();
  return client;
}

Result<std::shared_ptr<Client>> Client::attach(const std::string& directory, bool anew) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  const Result<std::pair<uint64_t, uint64_t>> key = file_key(directory);
  if (!key.ok()) return key.status();
  std::shared_ptr<Client> known = registry().clients[key.value()].lock();
  if (!anew && known != nullptr && known->pid_ == getpid()) return known;
  Result<std::unique_ptr<Segment>> segment = Segment::open(directory);
  if (!segment.ok()) return segment.status();
  Result<std::shared_ptr<Client>> client = enter(std::move(segment.value()));
  if (client.ok()) registry().clients[key.value()] = client.value();
  return client;
}

Result<std::shared_ptr<Client>> Client::enter(std::unique_ptr<Segment> segment) {
  std::shared_ptr<Client> client(new Client(std::move(segment)));
  Status status = client->claim_slot();
  if (!status.ok()) return status;
  if (client->slot_ >= kCrowded) (void)reap_dead_clients(*client);
  return client;
}

Status Client::claim_slot() {
  const uint64_t start_time = process_start_time(static_cast<uint32_t>(pid_)).value_or(0);
  for (uint32_t slot = 0; slot < kMaxClients; slot++) {
    if (try_claim(slot, start_time)) return Status();
  }
  return Status(Code::kTooManyClients, "open store " + directory() + ": all " + std::to_string(kMaxClients) + " places are taken");
}

bool Client::try_claim(uint32_t slot, uint64_t start_time) {
  ClientRecord& record = segment_->client(slot);
  uint64_t seen = record.state.load(std::memory_order_acquire);
  if (client_state::state(seen) != client_state::kFree) return false;
  const uint32_t generation = (client_state::generation(seen) + 1) & 0xffffff;
  const uint32_t pid = static_cast<uint32_t>(pid_);
  // The pid goes with the claim, so that a process that dies here can be told from one that is slow.
  const uint64_t claiming = client_state::make(client_state::kClaiming, generation, pid);
  if (!record.state.compare_exchange_strong(seen, claiming, std::memory_order_acq_rel)) return false;
  EAGLERAY_FAULT("attach.claimed");
  record.start_time.store(start_time, std::memory_order_release);
  std::array<uint8_t, 5> nonce{};
  while (getrandom(nonce.data(), nonce.size(), 0) != static_cast<ssize_t>(nonce.size())) {
  }
  NodeId node;
  std::memcpy(node.data(), segment_->header().node_id, kNodeIdBytes);
  worker_id_ = make_worker_id(node, slot, nonce);
  record.worker_id = worker_id_;
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  record.attached_at_ms = static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
  slot_ = slot;
  generation_ = generation;
  EAGLERAY_FAULT("attach.filled");
  record.state.store(client_state::make(client_state::kLive, generation, pid), std::memory_order_release);
  EAGLERAY_FAULT("attach.live");
  return true;
}

Status Client::prefault() {
  const uint64_t bytes = segment_->layout().heap_bytes;
  Status status = segment_->ensure_heap_backed(bytes);
  if (!status.ok()) return status;
#ifndef MADV_POPULATE_WRITE
  constexpr int MADV_POPULATE_WRITE = 23;
#endif
  (void)madvise(segment_->heap(), bytes, MADV_POPULATE_WRITE);  // before Linux 5.14: nothing
  warm_pages_.start_warming();
  warm_pages_.all();
  return Status();
}

bool client_info(const Segment& segment, uint32_t slot, ClientInfo* info) {
  if (slot >= kMaxClients) return false;
  const ClientRecord& record = segment.client(slot);
  while (true) {
    const uint64_t word = record.state.load(std::memory_order_acquire);
    const uint64_t state = client_state::state(word);
    if (state == client_state::kFree || state == client_state::kClaiming) return false;
    info->slot = slot;
    info->pid = client_state::pid(word);
    info->worker_id = record.worker_id;
    info->live = state == client_state::kLive && process_alive(info->pid, record.start_time.load(std::memory_order_acquire));
    if (record.state.load(std::memory_order_acquire) == word) return true;
  }
}

}  // namespace eagleray
