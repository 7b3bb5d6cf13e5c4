// SPDX-License-Identifier: Apache-2.0
// How a NativePort tells its listener what has arrived.
#include "args.h"
#include "port_object.h"

namespace eagleray {

// False when the round is over. `after` runs when the listener has returned, before the microtasks it left. What a listener throws in
// a turn of the loop is an uncaught exception, and the port goes on; in `poll` it is left to the caller.
template <typename After>
bool PortObject::call(Way way, Method method, size_t argc, const napi_value* argv, After after) {
  napi_value listener = nullptr;
  napi_value function = nullptr;
  napi_value result = nullptr;
  napi_callback_scope scope = nullptr;
  if (napi_get_reference_value(env_, listener_, &listener) != napi_ok) return false;
  if (napi_get_reference_value(env_, methods_[method], &function) != napi_ok) return false;
  if (way == Way::kTurn && napi_open_callback_scope(env_, nullptr, context_, &scope) != napi_ok) return false;
  const napi_status called = napi_call_function(env_, listener, function, argc, argv, &result);
  bool pending = false;
  napi_value error = nullptr;
  if (called != napi_ok) {
    pending = napi_is_exception_pending(env_, &pending) == napi_ok && pending && napi_get_and_clear_last_exception(env_, &error) == napi_ok;
  }
  if (loop_ != nullptr) after();
  if (scope != nullptr) napi_close_callback_scope(env_, scope);
  if (pending && way == Way::kTurn) napi_fatal_exception(env_, error);
  if (pending && way == Way::kPoll) napi_throw(env_, error);
  // A call that failed without an exception found the environment going down.
  const bool goes_on = called == napi_ok || (pending && way == Way::kTurn);
  return goes_on && loop_ != nullptr && !ending_;
}

void PortObject::deliver() { tell(Way::kTurn); }

// One round: what peers announced, then packets, then ends. Gives the number of packets. The listener may close the port, which
// ends the round; it may call `poll`, which then does nothing: the inbox is in use.
uint32_t PortObject::tell(Way way) {
  if (telling_ || loop_ == nullptr || ending_) return 0;
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return 0;
  telling_ = true;
  port_.look();
  uint32_t packets = 0;
  if (tell_events(way)) {
    packets = tell_packets(way);
    const bool on = loop_ != nullptr && tell_events(way);
    if (on && port_.take_sealed()) call(way, kOnSealed, 0, nullptr, [] {});
  }
  telling_ = false;
  napi_close_handle_scope(env_, scope);
  return packets;
}

uint32_t PortObject::tell_packets(Way way) {
  // Looked up each time: a script may have transferred the buffers away.
  napi_value inbox = nullptr;
  napi_value index = nullptr;
  void* bytes = nullptr;
  void* words = nullptr;
  size_t byte_length = 0;
  size_t word_length = 0;
  if (napi_get_reference_value(env_, inbox_, &inbox) != napi_ok || napi_get_reference_value(env_, index_, &index) != napi_ok ||
      napi_get_typedarray_info(env_, inbox, nullptr, &byte_length, &bytes, nullptr, nullptr) != napi_ok ||
      napi_get_typedarray_info(env_, index, nullptr, &word_length, &words, nullptr, nullptr) != napi_ok || byte_length < kPacketBytesMax ||
      word_length < 3) {
    close();
    return 0;
  }
  const uint32_t count = port_.drain(static_cast<std::byte*>(bytes), static_cast<uint32_t>(byte_length), static_cast<int32_t*>(words),
                                     static_cast<uint32_t>(word_length));
  if (count == 0) return 0;
  const napi_value argument = to_js(env_, count);
  call(way, kOnPackets, 1, &argument, [] {});
  return count;
}

// False when the round is over: the port was closed, or no script can run.
bool PortObject::tell_events(Way way) {
  PortEvent event;
  while (loop_ != nullptr && port_.next_event(&event)) {
    if (!tell_event(way, event)) return false;
  }
  return loop_ != nullptr;
}

bool PortObject::tell_event(Way way, const PortEvent& event) {
  napi_value argv[2] = {to_js(env_, event.channel), nullptr};
  const char* reason = nullptr;
  switch (event.kind) {
    case PortEvent::Kind::kOpened:
      argv[1] = to_js(env_, event.peer_slot);
      return call(way, kOnOpened, 2, argv, [] {});
    case PortEvent::Kind::kWritable:
      return call(way, kOnWritable, 1, argv, [] {});
    case PortEvent::Kind::kClosed: reason = "closed"; break;
    case PortEvent::Kind::kDied: reason = "died"; break;
    case PortEvent::Kind::kCorrupt: reason = "corrupt"; break;
  }
  napi_create_string_utf8(env_, reason, NAPI_AUTO_LENGTH, &argv[1]);
  return call(way, kOnClosed, 2, argv, [&] {
    // Not earlier: the listener may look at the claim words to learn what its peer had begun.
    claims_.detach(env_, event.channel);
    port_.disconnect(event.channel);
  });
}

}  // namespace eagleray
