// SPDX-License-Identifier: Apache-2.0
// When a port runs: its place in libuv's loop, and the choice between polling hot and sleeping on the doorbell.
//
//   cold  a uv_poll on the bell waits; others see `sleeping`
//   hot   a uv_idle keeps the loop from blocking, and a uv_check takes turns: hand out what has come, spin for more, and go back
//         to libuv now and then, so that timers and sockets have their turns too
//
// It becomes hot when the bell rings or something is sent (an answer is likely), and cold when nothing came for `spin_ns`, or at
// once when enough others spin already.
#pragma once

#include <cstdint>

#include "port.h"
#include "uv_abi.h"

namespace eagleray {

class PortLoop {
 public:
  // What the loop drives.
  class Receiver {
   public:
    // Tells everything that has arrived. Called without a handle scope. May call `stop`.
    virtual void deliver() = 0;
    // After `stop`, when libuv has let go of everything. The loop is gone then.
    virtual void stopped() = 0;

   protected:
    ~Receiver() = default;
  };

  // `spin_ns` 0: never polls hot. All outlive the loop, which deletes itself after `stop`.
  static Result<PortLoop*> start(uv_loop_s* loop, Port& port, uint32_t slot, ChannelRegion region, uint64_t spin_ns, Receiver& receiver);
  // No call of `deliver` starts after this. The port's bell may be closed.
  void stop();

  // Something was sent.
  void sent() {
    active_ = true;
    if (!hot_ && spin_ns_ > 0) heat();
  }
  // Whether the loop stays alive for this port.
  void ref() { uv_ref(poll_); }
  void unref() { uv_unref(poll_); }

 private:
  PortLoop(Port& port, uint32_t slot, ChannelRegion region, uint64_t spin_ns, Receiver& receiver);
  ~PortLoop() = default;
  int init(uv_loop_s* loop, int fd);
  void heat();
  // True when it went to sleep; false when something arrived at the last moment.
  bool cool();
  void turn();
  bool spin(uint64_t start);
  void release(uv_handle_s* handle);
  static void on_bell(uv_handle_s* handle, int status, int events);

  Port& port_;
  uint32_t slot_;
  ChannelRegion region_;
  uint64_t spin_ns_;
  Receiver& receiver_;
  uv_handle_s* poll_ = nullptr;
  uv_handle_s* idle_ = nullptr;
  uv_handle_s* check_ = nullptr;
  int handles_ = 0;          // that libuv still holds
  bool hot_ = false;
  bool active_ = false;      // something was sent since the clock was last read
  bool stopping_ = false;
  uint64_t last_active_ = 0;  // when something last came or was sent
};

}  // namespace eagleray
