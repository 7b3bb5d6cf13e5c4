// SPDX-License-Identifier: Apache-2.0
// The methods of NativeStore that report and repair. None is on a hot path.
#include "args.h"
#include "node_addon.h"
#include "store_object.h"

namespace eagleray {
namespace {

const char* state_name(uint64_t state) {
  if (state == object_state::kCreating) return "creating";
  return state == object_state::kDeleting ? "deleting" : "sealed";
}

Napi::Array to_array(Napi::Env env, const std::vector<uint32_t>& numbers) {
  Napi::Array array = Napi::Array::New(env, numbers.size());
  for (uint32_t i = 0; i < numbers.size(); ++i) array.Set(i, Napi::Number::New(env, numbers[i]));
  return array;
}

}  // namespace

napi_value StoreObject::path(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  return self == nullptr ? nullptr : static_cast<napi_value>(Napi::String::New(env, self->path_));
}

napi_value StoreObject::slot(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  return self == nullptr ? nullptr : to_js(env, self->slot_);
}

napi_value StoreObject::worker_id(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  return self == nullptr ? nullptr : static_cast<napi_value>(Napi::String::New(env, to_hex(self->worker_id_)));
}

napi_value StoreObject::starved(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  if (self == nullptr) return nullptr;
  napi_value count = nullptr;
  napi_create_double(env, self->store_.has_value() ? static_cast<double>(self->store_->starved()) : 0, &count);
  return count;
}

napi_value StoreObject::viewed_bytes(napi_env env, napi_callback_info info) {
  StoreObject* self = receive<StoreObject>(env, info);
  if (self == nullptr) return nullptr;
  napi_value bytes = nullptr;
  napi_create_double(env, self->store_.has_value() ? static_cast<double>(self->store_->viewed_bytes()) : 0, &bytes);
  return bytes;
}

napi_value StoreObject::list(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self == nullptr) return nullptr;
  const auto objects = self->store_->list();
  if (!objects.ok()) return throw_status(env, objects.status());
  Napi::Array result = Napi::Array::New(env, objects.value().size());
  uint32_t i = 0;
  for (const ObjectInfo& info_of : objects.value()) {
    const Napi::HandleScope scope(env);
    Napi::Object object = Napi::Object::New(env);
    object.Set("id", to_hex(info_of.id));
    object.Set("sizeBytes", static_cast<double>(info_of.size));
    object.Set("state", state_name(info_of.state));
    object.Set("creator", info_of.creator);
    object.Set("createdAtMs", static_cast<double>(info_of.created_at_ms));
    object.Set("pinnedBy", to_array(env, info_of.pinned_by));
    object.Set("pinnedAtMs", static_cast<double>(info_of.pinned_at_ms));
    object.Set("spilled", info_of.on_disk);
    object.Set("secondary", info_of.secondary);
    object.Set("callSite", info_of.site);
    result.Set(i++, object);
  }
  return result;
}

napi_value StoreObject::stats(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self == nullptr) return nullptr;
  const auto result = self->store_->stats();
  if (!result.ok()) return throw_status(env, result.status());
  const StoreStats& stats = result.value();
  Napi::Object object = Napi::Object::New(env);
  object.Set("capacityBytes", static_cast<double>(stats.capacity_bytes));
  object.Set("usedBytes", static_cast<double>(stats.used_bytes));
  object.Set("largestFreeBytes", static_cast<double>(stats.largest_free_bytes));
  object.Set("objects", stats.objects);
  object.Set("sealed", stats.sealed);
  object.Set("creating", stats.creating);
  object.Set("deleting", stats.deleting);
  object.Set("pins", static_cast<double>(stats.pins));
  object.Set("clients", stats.clients);
  object.Set("channels", stats.channels);
  object.Set("tableCapacity", stats.table_capacity);
  object.Set("spilled", stats.spilled);
  object.Set("diskBytes", static_cast<double>(stats.disk_bytes));
  object.Set("spilledObjects", static_cast<double>(stats.spilled_objects));
  object.Set("spilledBytes", static_cast<double>(stats.spilled_bytes));
  object.Set("restoredObjects", static_cast<double>(stats.restored_objects));
  object.Set("restoredBytes", static_cast<double>(stats.restored_bytes));
  object.Set("evictedObjects", static_cast<double>(stats.evicted_objects));
  object.Set("secondary", stats.secondary);
  object.Set("secondaryBytes", static_cast<double>(stats.secondary_bytes));
  object.Set("droppedObjects", static_cast<double>(stats.dropped_objects));
  return object;
}

napi_value StoreObject::clients(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self == nullptr) return nullptr;
  const std::vector<ClientInfo> clients = self->store_->clients();
  Napi::Array result = Napi::Array::New(env, clients.size());
  for (uint32_t i = 0; i < clients.size(); ++i) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("slot", clients[i].slot);
    object.Set("pid", clients[i].pid);
    object.Set("workerId", to_hex(clients[i].worker_id));
    object.Set("live", clients[i].live);
    result.Set(i, object);
  }
  return result;
}

napi_value StoreObject::reap(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint32_t slot = 0;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_uint32(env, argv[0], "slot", &slot)) return nullptr;
  const Result<bool> reaped = self->store_->reap(slot);
  return reaped.ok() ? to_js(env, reaped.value()) : throw_status(env, reaped.status());
}

napi_value StoreObject::reap_dead(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self == nullptr) return nullptr;
  const auto reaped = self->store_->reap_dead();
  return reaped.ok() ? static_cast<napi_value>(to_array(env, reaped.value())) : throw_status(env, reaped.status());
}

napi_value StoreObject::check(napi_env env, napi_callback_info info) {
  StoreObject* self = open(env, receive<StoreObject>(env, info));
  if (self == nullptr) return nullptr;
  const auto wrong = self->store_->check();
  if (!wrong.ok()) return throw_status(env, wrong.status());
  if (!wrong.value().has_value()) return Napi::Env(env).Null();
  return Napi::String::New(env, *wrong.value());
}

}  // namespace eagleray
