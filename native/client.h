// SPDX-License-Identifier: Apache-2.0
// This process's attachment to a segment: one client slot, whatever the number of threads and of opens.
//
// A registry in the process gives every opener of the same directory the same Client, unless it asks for another. It detaches (gives back what it holds,
// frees the slot) when the last reference goes, so whoever needs the mapping, the slot or a pin keeps a shared_ptr.
// Threads: everything here may be called from any thread. A child made by fork is another process: it attaches anew.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "disk_drafts.h"
#include "pin_counts.h"
#include "private_pages.h"
#include "segment.h"
#include "status.h"
#include "wake.h"
#include "warm_pages.h"

namespace eagleray {

class Client {
 public:
  // Makes the segment and attaches as its first client, in slot 0. `prefault` reserves the whole heap and has the
  // kernel fill it now; this process's own page tables follow in the background.
  static Result<std::shared_ptr<Client>> create(const std::string& directory, const SegmentOptions& options, bool prefault);
  // Attaches, or gives the attachment this process has. kTooManyClients when every slot is taken by a live process.
  // `anew`: a slot of its own, which later opens in this process share instead.
  static Result<std::shared_ptr<Client>> attach(const std::string& directory, bool anew = false);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const std::string& directory() const { return segment_->directory(); }
  Segment& segment() const { return *segment_; }
  uint32_t slot() const { return slot_; }
  // The generation of the slot while this client has it: tells it from earlier and later clients of the slot.
  uint32_t generation() const { return generation_; }
  const WorkerId& worker_id() const { return worker_id_; }
  PinCounts& pins() { return pins_; }
  const PrivatePages& private_pages() const { return private_pages_; }
  WarmPages& warm_pages() { return warm_pages_; }
  // Held by the one thread of this process that takes objects out of the heap.
  std::mutex& spilling() { return spilling_; }
  DiskDrafts& disk_drafts() { return disk_drafts_; }
  // The doorbells of the other clients.
  Bells& bells() { return bells_; }

 private:
  explicit Client(std::unique_ptr<Segment> segment);
  static Result<std::shared_ptr<Client>> enter(std::unique_ptr<Segment> segment);
  Status claim_slot();
  bool try_claim(uint32_t slot, uint64_t start_time);
  Status prefault();

  std::unique_ptr<Segment> segment_;
  uint32_t slot_ = kNone;
  uint32_t generation_ = 0;
  WorkerId worker_id_{};
  int pid_;
  PinCounts pins_;
  PrivatePages private_pages_;
  WarmPages warm_pages_;
  std::mutex spilling_;
  DiskDrafts disk_drafts_;
  Bells bells_;
};

// What is known of a slot: false when it is free.
struct ClientInfo {
  uint32_t slot;
  uint32_t pid;
  WorkerId worker_id;
  bool live;  // false: the process is gone or the slot is being reaped
};
bool client_info(const Segment& segment, uint32_t slot, ClientInfo* info);

}  // namespace eagleray
