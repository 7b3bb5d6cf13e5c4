// SPDX-License-Identifier: Apache-2.0
// NativeStore.restore: a view whose making may wait for a disk, on a thread of libuv's pool. Spilling has a thread of its own, so
// neither waits for the other.
#include "args.h"
#include "env_state.h"
#include "errors.h"
#include "store_object.h"

namespace eagleray {
namespace {

struct Restore {
  Store store;
  ObjectId id;
  Result<View> view = Status(Code::kClosed);
  napi_deferred deferred = nullptr;
  napi_async_work work = nullptr;
};

void run(napi_env, void* data) {
  auto* restore = static_cast<Restore*>(data);
  restore->view = restore->store.view(restore->id);
}

// The exception that a failed call left behind, as a value.
napi_value taken_exception(napi_env env) {
  napi_value error = nullptr;
  napi_get_and_clear_last_exception(env, &error);
  return error;
}

void done(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Restore> restore(static_cast<Restore*>(data));
  napi_delete_async_work(env, restore->work);
  // The environment ends, or somebody cancelled: nobody waits.
  if (status != napi_ok) {
    if (restore->view.ok()) restore->store.release(restore->view.value());
    return;
  }
  napi_value result = nullptr;
  if (restore->view.ok()) {
    result = wrap_view(env, restore->store, restore->view.value());
  } else if (restore->view.code() == Code::kObjectNotFound) {
    napi_get_null(env, &result);
  } else {
    throw_status(env, restore->view.status());
  }
  if (result != nullptr) {
    napi_resolve_deferred(env, restore->deferred, result);
  } else {
    napi_reject_deferred(env, restore->deferred, taken_exception(env));
  }
}

}  // namespace

napi_value StoreObject::restore(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  auto restore = std::make_unique<Restore>(Restore{*self->store_, id});
  napi_value promise = nullptr;
  napi_value name = nullptr;
  if (napi_create_promise(env, &restore->deferred, &promise) != napi_ok ||
      napi_create_string_utf8(env, "eagleray restore", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_async_work(env, nullptr, name, run, done, restore.get(), &restore->work) != napi_ok ||
      napi_queue_async_work(env, restore->work) != napi_ok) {
    return throw_napi(env, "start reading an object from disk");
  }
  restore.release();  // done()'s
  return promise;
}

}  // namespace eagleray
