// SPDX-License-Identifier: Apache-2.0
#include "uncounted_buffer.h"

#include <dlfcn.h>

#include <cstdlib>
#include <memory>
#include <new>

namespace eagleray {
namespace {

// Stand for V8's classes of these names, of which only pointers cross.
struct Isolate;
struct BackingStore;

// What a std::unique_ptr is to a caller: returned through memory that the caller gives.
struct NoDelete {
  void operator()(BackingStore*) const {}
};
using OwnedStore = std::unique_ptr<BackingStore, NoDelete>;
using Deleter = void (*)(void*, size_t, void*);

// v8::Local is one pointer, and so is a napi_value: the same one.
struct V8 {
  Isolate* (*current_isolate)();
  OwnedStore (*new_store)(void*, size_t, Deleter, void*);
  napi_value (*new_buffer)(Isolate*, std::shared_ptr<BackingStore>);
  void (*end_store)(BackingStore*);
  Deleter empty_deleter;
};

template <typename Function>
bool look_up(const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
  return *function != nullptr;
}

// Buffers may go after the last environment that loaded this library: its code stays.
bool stay_loaded() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&stay_loaded), &info) != 0 && dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE) != nullptr;
}

bool find_v8(V8* v8) {
  return look_up("_ZN2v87Isolate10GetCurrentEv", &v8->current_isolate) &&
         look_up("_ZN2v811ArrayBuffer15NewBackingStoreEPvmPFvS1_mS1_ES1_", &v8->new_store) &&
         look_up("_ZN2v811ArrayBuffer3NewEPNS_7IsolateESt10shared_ptrINS_12BackingStoreEE", &v8->new_buffer) &&
         look_up("_ZN2v812BackingStoreD1Ev", &v8->end_store) &&
         look_up("_ZN2v812BackingStore12EmptyDeleterEPvmS1_", &v8->empty_deleter) && stay_loaded();
}

V8 found_v8;

napi_value make(void* data, size_t length, void (*let_go)(void*), void* hint) {
  BackingStore* const store = found_v8.new_store(data, length, found_v8.empty_deleter, nullptr).release();
  if (store == nullptr) return nullptr;
  const auto end = [let_go, hint](BackingStore* ended) {
    found_v8.end_store(ended);
    ::operator delete(ended);
    let_go(hint);
  };
  return found_v8.new_buffer(found_v8.current_isolate(), std::shared_ptr<BackingStore>(store, end));
}

// A buffer has the memory that it was given, and lets go of it when it is detached and not before.
bool holds_in_trial(napi_env env) {
  static std::byte memory[64];
  static int ends = 0;
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return false;
  const napi_value buffer = make(memory, sizeof memory, [](void* count) { ++*static_cast<int*>(count); }, &ends);
  bool is_buffer = false;
  void* data = nullptr;
  size_t length = 0;
  const bool made = buffer != nullptr && napi_is_arraybuffer(env, buffer, &is_buffer) == napi_ok && is_buffer &&
                    napi_get_arraybuffer_info(env, buffer, &data, &length) == napi_ok && data == memory && length == sizeof memory && ends == 0;
  const bool ended = made && napi_detach_arraybuffer(env, buffer) == napi_ok && ends == 1;
  napi_close_handle_scope(env, scope);
  return ended;
}

}  // namespace

bool can_make_uncounted_buffers(napi_env env) {
  static const bool can = std::getenv("EAGLERAY_COUNT_VIEWS") == nullptr && find_v8(&found_v8) && holds_in_trial(env);
  return can;
}

napi_value make_uncounted_buffer(napi_env, void* data, size_t length, void (*let_go)(void*), void* hint) {
  return make(data, length, let_go, hint);
}

}  // namespace eagleray
