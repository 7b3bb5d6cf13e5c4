// SPDX-License-Identifier: Apache-2.0
// The life of a NativeStore and everything that touches objects' bytes. What only reports is in store_reports.cc.
#include "store_object.h"

#include <cstring>
#include <vector>

#include "args.h"
#include "env_state.h"
#include "errors.h"
#include "file_range.h"
#include "heap_copy.h"

namespace eagleray {
namespace {

// What no script can forge.
constexpr napi_type_tag kStoreTag = {0x6561676c65726179, 0x6e617473746f7265};

}  // namespace

napi_value StoreObject::define(napi_env env) {
  const auto method = [](const char* name, napi_callback callback) {
    return napi_property_descriptor{name, nullptr, callback, nullptr, nullptr, nullptr, napi_default_method, nullptr};
  };
  const auto getter = [](const char* name, napi_callback callback) {
    return napi_property_descriptor{name, nullptr, nullptr, callback, nullptr, nullptr, napi_enumerable, nullptr};
  };
  const napi_property_descriptor properties[] = {
      getter("path", path),          getter("slot", slot),       getter("workerId", worker_id), getter("starved", starved), getter("viewedBytes", viewed_bytes),
      method("put", put),
      method("putParts", put_parts), method("create", create),   method("reserve", reserve),      method("write", write),         method("readBack", read_back), method("seal", seal),          method("abort", abort),
      method("promote", promote),
      method("internSite", intern_site), method("setSite", set_site),
      method("read", read),          method("view", view),       method("restore", restore),    method("readView", read_view), method("part", part),
      method("release", release),
      method("contains", contains),  method("delete", remove),   method("expect", expect),      method("expectAll", expect_all),
      method("list", list),          method("stats", stats),     method("clients", clients),    method("reap", reap),
      method("reapDead", reap_dead), method("check", check),     method("close", close),
  };
  napi_value klass = nullptr;
  napi_define_class(env, "NativeStore", NAPI_AUTO_LENGTH, construct, nullptr, std::size(properties), properties, &klass);
  return klass;
}

napi_value StoreObject::make(napi_env env, std::shared_ptr<Client> client, bool spills) {
  auto* native = new StoreObject(client);
  if (spills) native->spilling_ = std::make_unique<SpillThread>(std::move(client));
  napi_value object = eagleray::construct(env, env_state(env).store_class, native);
  if (object == nullptr) {
    delete native;
    return throw_napi(env, "make a NativeStore");
  }
  return object;
}

napi_value StoreObject::construct(napi_env env, napi_callback_info info) {
  auto* native = static_cast<StoreObject*>(env_state(env).under_construction);
  if (native == nullptr) return throw_error(env, Code::kInvalidArgument, "a NativeStore comes from createStore or openStore");
  napi_value self = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr);
  if (napi_wrap(env, self, native, finalize, nullptr, &native->self_) != napi_ok) return throw_napi(env, "wrap a NativeStore");
  napi_type_tag_object(env, self, &kStoreTag);
  napi_add_env_cleanup_hook(env, env_ends, native);
  return self;
}

void StoreObject::finalize(napi_env env, void* pointer, void*) {
  auto* native = static_cast<StoreObject*>(pointer);
  napi_remove_env_cleanup_hook(env, env_ends, native);
  napi_delete_reference(env, native->self_);
  delete native;
}

StoreObject* StoreObject::open(napi_env env, StoreObject* self) {
  if (self == nullptr || self->store_.has_value()) return self;
  throw_error(env, Code::kClosed, "the store was closed");
  return nullptr;
}

Store* StoreObject::store_of(napi_env env, napi_value object) {
  bool is_store = false;
  void* native = nullptr;
  if (napi_check_object_type_tag(env, object, &kStoreTag, &is_store) != napi_ok || !is_store ||
      napi_unwrap(env, object, &native) != napi_ok) {
    throw_error(env, Code::kInvalidArgument, "store must be a NativeStore");
    return nullptr;
  }
  StoreObject* self = open(env, static_cast<StoreObject*>(native));
  return self == nullptr ? nullptr : &*self->store_;
}

napi_value StoreObject::put(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  ObjectId id{};
  ByteSpan bytes{};
  uint64_t length = 0;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  if (!get_bytes(env, argv[1], "bytes", &bytes) || !get_size(env, argv[2], "length", &length)) return nullptr;
  if (length > bytes.length) return throw_error(env, Code::kInvalidArgument, "length is more than there are bytes");
  const Status status = self->store_->put(id, bytes.data, length);
  return status.ok() ? nullptr : throw_status(env, status);
}

napi_value StoreObject::put_parts(napi_env env, napi_callback_info info) {
  napi_value argv[4];
  ObjectId id{};
  uint64_t size = 0;
  uint32_t count = 0;
  uint32_t offsets = 0;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id) || !get_size(env, argv[1], "byteLength", &size)) return nullptr;
  if (napi_get_array_length(env, argv[2], &count) != napi_ok || napi_get_array_length(env, argv[3], &offsets) != napi_ok ||
      count != offsets) {
    return throw_error(env, Code::kInvalidArgument, "parts and offsets must be arrays of one length");
  }
  std::vector<PutPart> parts(count);
  for (uint32_t i = 0; i < count; ++i) {
    napi_value part = nullptr;
    napi_value offset = nullptr;
    ByteSpan bytes{};
    if (napi_get_element(env, argv[2], i, &part) != napi_ok || napi_get_element(env, argv[3], i, &offset) != napi_ok) return nullptr;
    if (!get_bytes(env, part, "each part", &bytes) || !get_size(env, offset, "each offset", &parts[i].offset)) return nullptr;
    parts[i].data = bytes.data;
    parts[i].length = bytes.length;
  }
  const Status status = self->store_->put_parts(id, size, parts);
  return status.ok() ? nullptr : throw_status(env, status);
}

napi_value StoreObject::promote(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  const Result<bool> promoted = self->store_->promote(id);
  return promoted.ok() ? to_js(env, promoted.value()) : throw_status(env, promoted.status());
}

napi_value StoreObject::intern_site(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  std::string text;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_string(env, argv[0], "site", &text)) return nullptr;
  return to_js(env, self->store_->intern_site(text));
}

napi_value StoreObject::set_site(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint32_t site = 0;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "site", &site)) return nullptr;
  self->store_->set_site(site);
  return nullptr;
}

napi_value StoreObject::read(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  ObjectId id{};
  ByteSpan target{};
  uint32_t offset = 0;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id) || !get_bytes(env, argv[1], "target", &target)) return nullptr;
  if (!get_uint32(env, argv[2], "offset", &offset)) return nullptr;
  if (offset > target.length) return throw_error(env, Code::kInvalidArgument, "offset lies beyond the target");
  const Result<uint64_t> length = self->store_->read(id, target.data + offset, target.length - offset);
  if (!length.ok() && length.code() != Code::kObjectNotFound && length.code() != Code::kSpilled) return throw_status(env, length.status());
  const double absent = length.code() == Code::kSpilled ? -2 : -1;
  napi_value result = nullptr;
  napi_create_double(env, length.ok() ? static_cast<double>(length.value()) : absent, &result);
  return result;
}

napi_value StoreObject::view(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  const Result<View> view = self->store_->view(id);
  if (view.ok()) return wrap_view(env, *self->store_, view.value());
  if (view.code() != Code::kObjectNotFound) return throw_status(env, view.status());
  napi_value none = nullptr;
  napi_get_null(env, &none);
  return none;
}

napi_value StoreObject::read_view(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  const Result<Source> source = self->store_->source(id);
  napi_value none = nullptr;
  if (source.code() == Code::kObjectNotFound) {
    napi_get_null(env, &none);
    return none;
  }
  if (!source.ok()) return throw_status(env, source.status());
  if (!source.value().path.empty()) return make_file_range(env, *self->store_, source.value());
  return wrap_view(env, *self->store_, source.value().view);
}

napi_value StoreObject::part(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  uint64_t offset = 0;
  uint64_t length = 0;
  StoreObject* self = receive<StoreObject>(env, info, argv);  // views outlive close, so this does too
  if (self == nullptr || !get_size(env, argv[1], "offset", &offset) || !get_size(env, argv[2], "length", &length)) return nullptr;
  return part_of_view(env, self->path_, argv[0], offset, length);
}

napi_value StoreObject::release(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  StoreObject* self = receive<StoreObject>(env, info, argv);  // views outlive close, so this does too
  if (self == nullptr) return nullptr;
  return to_js(env, release_file_range(env, argv[0]) || release_view(env, argv[0]));
}

napi_value StoreObject::contains(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  return to_js(env, self->store_->contains(id));
}

napi_value StoreObject::remove(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  const Result<bool> removed = self->store_->remove(id);
  return removed.ok() ? to_js(env, removed.value()) : throw_status(env, removed.status());
}

napi_value StoreObject::expect(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  self->store_->expect(id);
  return nullptr;
}

napi_value StoreObject::expect_all(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self != nullptr) self->store_->expect_all();
  return nullptr;
}

napi_value StoreObject::close(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  if (self == nullptr || !self->store_.has_value()) return nullptr;
  self->close_drafts(env);
  self->spilling_.reset();
  self->store_.reset();
  return nullptr;
}

}  // namespace eagleray
