// SPDX-License-Identifier: Apache-2.0
// The life of a NativePort and its methods. How the listener is told is in port_telling.cc.
#include "port_object.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "args.h"
#include "env_state.h"
#include "errors.h"

namespace eagleray {
namespace {

const char* const kListenerMethods[] = {"onPackets", "onClosed", "onOpened", "onWritable", "onSealed"};

// The clients of this process that have a port: one mailbox has one reader.
std::mutex with_port_mutex;
std::vector<const Client*>& with_port() {
  static auto* clients = new std::vector<const Client*>;  // never destroyed: worker threads may outlast static objects
  return *clients;
}

bool take_mailbox(const Client* client) {
  const std::lock_guard<std::mutex> guard(with_port_mutex);
  auto& clients = with_port();
  if (std::find(clients.begin(), clients.end(), client) != clients.end()) return false;
  clients.push_back(client);
  return true;
}

void give_mailbox(const Client* client) {
  const std::lock_guard<std::mutex> guard(with_port_mutex);
  std::erase(with_port(), client);
}

}  // namespace

PortObject::PortObject(std::shared_ptr<Client> client)
    : client_(std::move(client)),
      host_(client_->segment()),
      port_(client_->segment().channels(), client_->bells(), host_, peer_of(client_->worker_id())) {}

PortObject::~PortObject() {
  port_.close();
  if (has_mailbox_) give_mailbox(client_.get());
}

napi_value PortObject::define(napi_env env) {
  const auto method = [](const char* name, napi_callback callback) {
    return napi_property_descriptor{name, nullptr, callback, nullptr, nullptr, nullptr, napi_default_method, nullptr};
  };
  const napi_property_descriptor properties[] = {
      method("connect", connect), method("send", send),   method("claims", claims), method("disconnect", disconnect),
      method("ref", ref),         method("unref", unref), method("poll", poll),     method("close", close),
  };
  napi_value klass = nullptr;
  napi_define_class(env, "NativePort", NAPI_AUTO_LENGTH, construct, nullptr, std::size(properties), properties, &klass);
  return klass;
}

napi_value PortObject::open(napi_env env, napi_callback_info info) {
  size_t argc = 5;
  napi_value argv[5];
  uint32_t spin_micros = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  const Store* store = StoreObject::store_of(env, argv[0]);
  if (store == nullptr || !get_uint32(env, argv[4], "spinMicros", &spin_micros)) return nullptr;
  if (!take_mailbox(store->client().get())) {
    return throw_error(env, Code::kInvalidArgument, "this process has a port on " + store->client()->directory() + " already");
  }
  auto* native = new PortObject(store->client());
  napi_value object = eagleray::construct(env, env_state(env).port_class, native);
  if (object == nullptr) {
    delete native;
    return throw_napi(env, "make a NativePort");
  }
  // From here on its finalizer deletes it.
  if (!native->keep(env, argv[1], argv[2], argv[3])) return nullptr;
  const Status status = native->start(env, uint64_t{spin_micros} * 1000);
  return status.ok() ? object : throw_status(env, status);
}

napi_value PortObject::construct(napi_env env, napi_callback_info info) {
  auto* native = static_cast<PortObject*>(env_state(env).under_construction);
  if (native == nullptr) return throw_error(env, Code::kInvalidArgument, "a NativePort comes from openPort");
  napi_value self = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
  if (napi_wrap(env, self, native, finalize, nullptr, &native->self_) != napi_ok) return throw_napi(env, "wrap a NativePort");
  return self;
}

bool PortObject::keep(napi_env env, napi_value listener, napi_value inbox, napi_value index) {
  env_ = env;
  ByteSpan bytes{};
  if (!get_bytes(env, inbox, "inbox", &bytes)) return false;
  if (bytes.length < kPacketBytesMax || bytes.length > INT32_MAX) {
    return bad_argument(env, "inbox", "of packetBytesMax bytes at least and below 2 GiB");
  }
  napi_typedarray_type type;
  size_t words = 0;
  if (napi_get_typedarray_info(env, index, &type, &words, nullptr, nullptr, nullptr) != napi_ok || type != napi_int32_array || words < 3) {
    return bad_argument(env, "index", "an Int32Array of 3 elements at least");
  }
  for (int i = 0; i < kMethods; ++i) {
    napi_value function = nullptr;
    napi_valuetype kind = napi_undefined;
    if (napi_get_named_property(env, listener, kListenerMethods[i], &function) != napi_ok) {
      return bad_argument(env, "listener", "an object");
    }
    napi_typeof(env, function, &kind);
    if (kind != napi_function) return bad_argument(env, kListenerMethods[i], "a function");
    napi_create_reference(env, function, 1, &methods_[i]);
  }
  napi_create_reference(env, listener, 1, &listener_);
  napi_create_reference(env, inbox, 1, &inbox_);
  napi_create_reference(env, index, 1, &index_);
  napi_value name = nullptr;
  napi_create_string_utf8(env, "eagleray.port", NAPI_AUTO_LENGTH, &name);
  return napi_async_init(env, nullptr, name, &context_) == napi_ok;
}

Status PortObject::start(napi_env env, uint64_t spin_ns) {
  Status status = port_.open(client_->directory());
  if (!status.ok()) return status;
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return Status(Code::kSystem, "find the event loop");
  Result<PortLoop*> started = PortLoop::start(loop, port_, client_->slot(), client_->segment().channels(), spin_ns, *this);
  if (!started.ok()) return started.status();
  loop_ = started.value();
  uint32_t count = 0;
  napi_reference_ref(env, self_, &count);
  napi_add_async_cleanup_hook(env, env_ends, this, &cleanup_);
  return Status();
}

// libuv lets go of the handles in a later turn of the loop; `stopped` is called then.
void PortObject::close() {
  if (loop_ == nullptr) return;
  PortLoop* loop = loop_;
  loop_ = nullptr;
  loop->stop();
  if (!ending_) claims_.detach_all(env_);
  port_.close();
}

void PortObject::stopped() {
  give_mailbox(client_.get());
  has_mailbox_ = false;  // another port may take it while this object waits to be collected
  uint32_t count = 0;
  if (!ending_) napi_reference_unref(env_, self_, &count);
  napi_remove_async_cleanup_hook(cleanup_);
  cleanup_ = nullptr;
}

void PortObject::env_ends(napi_async_cleanup_hook_handle, void* pointer) {
  auto* native = static_cast<PortObject*>(pointer);
  native->ending_ = true;
  native->close();
}

void PortObject::finalize(napi_env env, void* pointer, void*) {
  auto* native = static_cast<PortObject*>(pointer);
  for (const napi_ref ref : native->methods_) {
    if (ref != nullptr) napi_delete_reference(env, ref);
  }
  for (const napi_ref ref : {native->listener_, native->inbox_, native->index_, native->self_}) {
    if (ref != nullptr) napi_delete_reference(env, ref);
  }
  if (native->context_ != nullptr) napi_async_destroy(env, native->context_);
  delete native;
}

PortObject* PortObject::receiver(napi_env env, PortObject* self) {
  if (self == nullptr || self->loop_ != nullptr) return self;
  throw_error(env, Code::kClosed, "the port was closed");
  return nullptr;
}

napi_value PortObject::connect(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  uint32_t slot = 0;
  WorkerId id{};
  PortObject* self = receiver(env, receive<PortObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "slot", &slot) || !get_hex(env, argv[1], "workerId", &id)) return nullptr;
  const Peer peer = peer_of(id);
  if (peer.slot != slot) return throw_error(env, Code::kInvalidArgument, "workerId is not one of slot " + std::to_string(slot));
  const Result<uint32_t> channel = self->port_.connect(peer);
  return channel.ok() ? to_js(env, channel.value()) : throw_status(env, channel.status());
}

napi_value PortObject::send(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  uint32_t channel = 0;
  uint32_t length = 0;
  ByteSpan bytes{};
  PortObject* self = receiver(env, receive<PortObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "channel", &channel) || !get_bytes(env, argv[1], "bytes", &bytes) ||
      !get_uint32(env, argv[2], "length", &length)) {
    return nullptr;
  }
  if (length > bytes.length) return throw_error(env, Code::kInvalidArgument, "length is more than there are bytes");
  switch (self->port_.send(channel, bytes.data, length)) {
    case Port::Sent::kTooLong:
      return throw_error(env, Code::kInvalidArgument, "a packet has 128 KiB at most, not " + std::to_string(length) + " bytes");
    case Port::Sent::kUnknown:
      return throw_error(env, Code::kClosed, "channel " + std::to_string(channel) + " is not open");
    case Port::Sent::kFull:
      return to_js(env, false);
    case Port::Sent::kSent:
      break;
  }
  self->loop_->sent();
  return to_js(env, true);
}

napi_value PortObject::claims(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint32_t channel = 0;
  PortObject* self = receiver(env, receive<PortObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "channel", &channel)) return nullptr;
  std::atomic<int32_t>* mine = nullptr;
  std::atomic<int32_t>* theirs = nullptr;
  if (self->port_.claims(channel, &mine, &theirs)) return self->claims_.get(env, self->client_, channel, mine, theirs);
  return throw_error(env, Code::kClosed, "channel " + std::to_string(channel) + " is not open");
}

napi_value PortObject::disconnect(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint32_t channel = 0;
  PortObject* self = receiver(env, receive<PortObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "channel", &channel)) return nullptr;
  self->claims_.detach(env, channel);
  self->port_.disconnect(channel);
  return nullptr;
}

napi_value PortObject::ref(napi_env env, napi_callback_info info) {
  PortObject* self = receiver(env, receive<PortObject>(env, info));
  if (self != nullptr) self->loop_->ref();
  return nullptr;
}

napi_value PortObject::unref(napi_env env, napi_callback_info info) {
  PortObject* self = receiver(env, receive<PortObject>(env, info));
  if (self != nullptr) self->loop_->unref();
  return nullptr;
}

napi_value PortObject::poll(napi_env env, napi_callback_info info) {
  PortObject* self = receiver(env, receive<PortObject>(env, info));
  if (self == nullptr) return nullptr;
  const uint32_t packets = self->tell(Way::kPoll);
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  return pending ? nullptr : to_js(env, packets);
}

napi_value PortObject::close(napi_env env, napi_callback_info info) {
  PortObject* self = receive<PortObject>(env, info);
  if (self != nullptr) self->close();
  return nullptr;
}

}  // namespace eagleray
