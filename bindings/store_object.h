// SPDX-License-Identifier: Apache-2.0
// NativeStore of lib/native.ts.
#pragma once

#include <node_api.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "args.h"
#include "spill_thread.h"
#include "store.h"

namespace eagleray {

class StoreObject {
 public:
  // The class, to be kept in the environment's state.
  static napi_value define(napi_env env);
  // A new NativeStore; one that `spills` takes objects out of memory in the background until it is closed. Null with an exception
  // pending on failure.
  static napi_value make(napi_env env, std::shared_ptr<Client> client, bool spills);
  // The store behind a NativeStore, for openPort; null with an exception pending when it is none, or closed.
  static Store* store_of(napi_env env, napi_value object);

 private:
  // An object between create and seal, with the buffer given for it; or between reserve and seal, with none.
  struct Draft {
    napi_ref buffer;    // null: reserved
    std::byte* memory;  // of what was created
    uint64_t size;
    bool copied;  // the buffer is no window on `memory`: its bytes go there when sealed
    Reserved reserved;
  };
  struct IdHash {
    size_t operator()(const ObjectId& id) const { return hash_object_id(id); }
  };

  explicit StoreObject(std::shared_ptr<Client> client)
      : path_(client->directory()), slot_(client->slot()), worker_id_(client->worker_id()), store_(std::in_place, std::move(client)) {}
  static napi_value construct(napi_env env, napi_callback_info info);
  static void finalize(napi_env env, void* native, void* hint);
  static void env_ends(void* native);
  static StoreObject* open(napi_env env, StoreObject* self);
  static bool draft_arguments(napi_env env, napi_value (&argv)[3], ObjectId* id, uint64_t* size, bool* secondary);
  const Reserved* reserved_range(napi_env env, napi_value (&argv)[4], uint64_t* offset, ByteSpan* bytes);
  // Between the bytes of a script and a range of a reserved object.
  static napi_value copy_range(napi_env env, napi_callback_info info, bool into_store);
  void keep_draft(napi_env env, const ObjectId& id, const Draft& draft);
  void end_draft(napi_env env, const ObjectId& id, bool keep_bytes);
  void close_drafts(napi_env env);
  void abort_drafts();

  static napi_value path(napi_env env, napi_callback_info info);
  static napi_value slot(napi_env env, napi_callback_info info);
  static napi_value worker_id(napi_env env, napi_callback_info info);
  static napi_value starved(napi_env env, napi_callback_info info);
  static napi_value viewed_bytes(napi_env env, napi_callback_info info);
  static napi_value put(napi_env env, napi_callback_info info);
  static napi_value put_parts(napi_env env, napi_callback_info info);
  static napi_value create(napi_env env, napi_callback_info info);
  static napi_value reserve(napi_env env, napi_callback_info info);
  static napi_value write(napi_env env, napi_callback_info info);
  static napi_value read_back(napi_env env, napi_callback_info info);
  static napi_value seal(napi_env env, napi_callback_info info);
  static napi_value abort(napi_env env, napi_callback_info info);
  static napi_value promote(napi_env env, napi_callback_info info);
  static napi_value read(napi_env env, napi_callback_info info);
  static napi_value view(napi_env env, napi_callback_info info);
  static napi_value restore(napi_env env, napi_callback_info info);
  static napi_value read_view(napi_env env, napi_callback_info info);
  static napi_value intern_site(napi_env env, napi_callback_info info);
  static napi_value set_site(napi_env env, napi_callback_info info);
  static napi_value part(napi_env env, napi_callback_info info);
  static napi_value release(napi_env env, napi_callback_info info);
  static napi_value contains(napi_env env, napi_callback_info info);
  static napi_value remove(napi_env env, napi_callback_info info);
  static napi_value expect(napi_env env, napi_callback_info info);
  static napi_value expect_all(napi_env env, napi_callback_info info);
  static napi_value list(napi_env env, napi_callback_info info);
  static napi_value stats(napi_env env, napi_callback_info info);
  static napi_value clients(napi_env env, napi_callback_info info);
  static napi_value reap(napi_env env, napi_callback_info info);
  static napi_value reap_dead(napi_env env, napi_callback_info info);
  static napi_value check(napi_env env, napi_callback_info info);
  static napi_value close(napi_env env, napi_callback_info info);

  const std::string path_;
  const uint32_t slot_;
  const WorkerId worker_id_;
  std::optional<Store> store_;  // empty once closed
  std::unique_ptr<SpillThread> spilling_;
  napi_ref self_ = nullptr;     // strong while there are drafts: their memory must not be given back under their buffers
  std::unordered_map<ObjectId, Draft, IdHash> drafts_;
};

}  // namespace eagleray
