// SPDX-License-Identifier: Apache-2.0
// NativePort of lib/native.ts: a Port, its place in the event loop, and the listener it tells.
#pragma once

#include <node_api.h>

#include <memory>

#include "claim_words.h"
#include "port_loop.h"
#include "store_object.h"
#include "store_channels.h"

namespace eagleray {

class PortObject final : public PortLoop::Receiver {
 public:
  static napi_value define(napi_env env);
  // openPort(store, listener, inbox, index, spinMicros)
  static napi_value open(napi_env env, napi_callback_info info);

  void deliver() override;
  void stopped() override;

 private:
  // The listener's methods, in the order of kListenerMethods.
  enum Method { kOnPackets, kOnClosed, kOnOpened, kOnWritable, kOnSealed, kMethods };
  // Who is being told: the event loop's turn, with microtasks after each call, or the caller of `poll`.
  enum class Way { kTurn, kPoll };

  explicit PortObject(std::shared_ptr<Client> client);
  ~PortObject();
  bool keep(napi_env env, napi_value listener, napi_value inbox, napi_value index);
  Status start(napi_env env, uint64_t spin_ns);
  void close();
  static napi_value construct(napi_env env, napi_callback_info info);
  static void finalize(napi_env env, void* native, void* hint);
  static void env_ends(napi_async_cleanup_hook_handle handle, void* native);
  static PortObject* receiver(napi_env env, PortObject* self);

  uint32_t tell(Way way);
  uint32_t tell_packets(Way way);
  bool tell_events(Way way);
  bool tell_event(Way way, const PortEvent& event);
  template <typename After>
  bool call(Way way, Method method, size_t argc, const napi_value* argv, After after);

  static napi_value connect(napi_env env, napi_callback_info info);
  static napi_value send(napi_env env, napi_callback_info info);
  static napi_value claims(napi_env env, napi_callback_info info);
  static napi_value disconnect(napi_env env, napi_callback_info info);
  static napi_value ref(napi_env env, napi_callback_info info);
  static napi_value unref(napi_env env, napi_callback_info info);
  static napi_value poll(napi_env env, napi_callback_info info);
  static napi_value close(napi_env env, napi_callback_info info);

  std::shared_ptr<Client> client_;
  SegmentHost host_;
  Port port_;
  PortLoop* loop_ = nullptr;  // null before start and after close
  ClaimWords claims_;
  napi_env env_ = nullptr;
  napi_ref self_ = nullptr;  // strong from start until libuv has let go
  napi_ref listener_ = nullptr;
  napi_ref methods_[kMethods] = {};
  napi_ref inbox_ = nullptr;
  napi_ref index_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  bool has_mailbox_ = true;
  bool telling_ = false;  // the inbox is in use
  bool ending_ = false;   // the environment is going down: no script may be run
};

}  // namespace eagleray
