// SPDX-License-Identifier: Apache-2.0
#include "port_loop.h"

#include <sched.h>
#include <time.h>

#include <cstdlib>
#include <string>

#include "full_fence.h"
#include "spinners.h"

namespace eagleray {
namespace {

// How long one turn may keep libuv's other business waiting while packets keep coming.
constexpr uint64_t kTurnNs = 500'000;
// The same while nothing comes.
constexpr uint64_t kSpinSliceNs = 40'000;
// An answer from a process that runs comes within this time; longer spins need a place among the spinners.
constexpr uint64_t kFreeSpinNs = 5'000;
// The places may be taken by someone who is just about to find what we sent: not the last word for this long.
constexpr uint64_t kPlaceGraceNs = 10'000;
constexpr int kPausesBetweenClocks = 16;

uint64_t now_ns() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

PortLoop* loop_of(uv_handle_s* handle) { return static_cast<PortLoop*>(uv_handle_get_data(handle)); }

}  // namespace

PortLoop::PortLoop(Port& port, uint32_t slot, ChannelRegion region, uint64_t spin_ns, Receiver& receiver)
    : port_(port), slot_(slot), region_(region), spin_ns_(spin_ns), receiver_(receiver) {}

Result<PortLoop*> PortLoop::start(uv_loop_s* loop, Port& port, uint32_t slot, ChannelRegion region, uint64_t spin_ns, Receiver& receiver) {
  auto* self = new PortLoop(port, slot, region, spin_ns, receiver);
  const int error = self->init(loop, port.bell().fd());
  if (error != 0) {
    delete self;
    return Status(Code::kSystem, std::string("poll the doorbell: ") + uv_strerror(error));
  }
  self->heat();  // something may have come before the bell was there
  return self;
}

int PortLoop::init(uv_loop_s* loop, int fd) {
  auto* poll = static_cast<uv_handle_s*>(std::malloc(uv_handle_size(uv::kPoll)));
  const int error = uv_poll_init(loop, poll, fd);  // the only one of the three that can fail
  if (error != 0) {
    std::free(poll);
    return error;
  }
  poll_ = poll;
  idle_ = static_cast<uv_handle_s*>(std::malloc(uv_handle_size(uv::kIdle)));
  check_ = static_cast<uv_handle_s*>(std::malloc(uv_handle_size(uv::kCheck)));
  uv_idle_init(loop, idle_);
  uv_check_init(loop, check_);
  for (uv_handle_s* handle : {poll_, idle_, check_}) {
    uv_handle_set_data(handle, this);
    uv_unref(handle);
    ++handles_;
  }
  uv_poll_start(poll_, uv::kReadable, on_bell);
  return 0;
}

void PortLoop::stop() {
  if (stopping_) return;
  stopping_ = true;
  end_spin(region_, slot_);
  for (uv_handle_s* handle : {poll_, idle_, check_}) {
    uv_close(handle, [](uv_handle_s* closed) { loop_of(closed)->release(closed); });
  }
}

void PortLoop::release(uv_handle_s* handle) {
  std::free(handle);
  if (--handles_ > 0) return;
  Receiver& receiver = receiver_;
  delete this;
  receiver.stopped();
}

void PortLoop::on_bell(uv_handle_s* handle, int, int) {
  PortLoop* self = loop_of(handle);
  self->port_.bell().drain();
  self->heat();
  self->turn();
}

void PortLoop::heat() {
  port_.awake();
  active_ = true;
  if (hot_) return;
  hot_ = true;
  uv_idle_start(idle_, [](uv_handle_s*) {});
  uv_check_start(check_, [](uv_handle_s* check) { loop_of(check)->turn(); });
}

bool PortLoop::cool() {
  end_spin(region_, slot_);
  if (!port_.prepare_sleep()) return false;
  hot_ = false;
  uv_idle_stop(idle_);
  uv_check_stop(check_);
  return true;
}

void PortLoop::turn() {
  if (stopping_ || !hot_) return;
  const uint64_t start = now_ns();
  for (uint64_t now = start;; now = now_ns()) {
    if (active_) last_active_ = now;
    active_ = false;
    if (now - start > kTurnNs) return;
    if (port_.pending()) {
      end_spin(region_, slot_);
      receiver_.deliver();
      if (stopping_) return;
      active_ = true;
    } else if (now - last_active_ >= spin_ns_) {
      if (cool()) return;
    } else if (!spin(now)) {
      return;
    }
  }
}

// Polls until something is there (true), or it is time for libuv or for sleep (false).
bool PortLoop::spin(uint64_t start) {
  bool placed = false;
  for (uint64_t now = start; now - start < kSpinSliceNs && now - last_active_ < spin_ns_; now = now_ns()) {
    for (int i = 0; i < kPausesBetweenClocks; ++i) {
      if (port_.pending()) return true;
      spin_pause();
    }
    const uint64_t idle = now - last_active_;
    // Whoever is to answer may be waiting for this very core.
    if (idle > kFreeSpinNs) sched_yield();
    if (!placed && idle > kFreeSpinNs) {
      placed = begin_spin(region_, slot_, spinners_max());
      if (!placed && idle > kFreeSpinNs + kPlaceGraceNs) {
        // Even when something arrives at the last moment, it is found in the next turn.
        cool();
        return false;
      }
    }
  }
  return false;
}

}  // namespace eagleray
