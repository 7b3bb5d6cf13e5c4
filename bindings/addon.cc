// SPDX-License-Identifier: Apache-2.0
// What the addon exports, in the order of NativeModule in lib/native.ts.
#include "args.h"
#include "env_state.h"
#include "node_addon.h"
#include "port_object.h"
#include "process_calls.h"
#include "socket_calls.h"
#include "store_channels.h"
#include "store_object.h"
#include "uncounted_buffer.h"

namespace eagleray {
namespace {

napi_value counts_views(napi_env env, napi_callback_info) { return to_js(env, !can_make_uncounted_buffers(env)); }

napi_value create_store(napi_env env, napi_callback_info info) {
  size_t argc = 6;
  napi_value argv[6];
  std::string path;
  SegmentOptions options;
  bool prefault = false;
  napi_valuetype spills = napi_undefined;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  if (!get_string(env, argv[0], "path", &path) || !get_size(env, argv[1], "capacityBytes", &options.capacity_bytes) ||
      !get_hex(env, argv[2], "nodeId", &options.node_id) || !get_bool(env, argv[3], "prefault", &prefault)) {
    return nullptr;
  }
  if (napi_typeof(env, argv[4], &spills) != napi_ok) return nullptr;
  if (spills != napi_null && (!get_string(env, argv[4], "spillDirectory", &options.spill_directory) ||
                              !get_size(env, argv[5], "spillQuotaBytes", &options.spill_quota_bytes))) {
    return nullptr;
  }
  const auto client = Client::create(path, options, prefault);
  if (!client.ok()) return throw_status(env, client.status());
  client.value()->warm_pages().start_warming();
  return StoreObject::make(env, client.value(), spills != napi_null);
}

napi_value open_store(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  std::string path;
  napi_valuetype given = napi_undefined;
  bool anew = false;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || !get_string(env, argv[0], "path", &path)) return nullptr;
  if (napi_typeof(env, argv[1], &given) != napi_ok || (given != napi_undefined && !get_bool(env, argv[1], "anew", &anew))) return nullptr;
  const auto client = Client::attach(path, anew);
  if (client.ok()) client.value()->warm_pages().start_warming();
  return client.ok() ? StoreObject::make(env, client.value(), false) : throw_status(env, client.status());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  static const bool connected = (connect_store_to_channels(), true);  // once a process, whatever the environments
  (void)connected;
  auto* state = new EnvState;
  napi_set_instance_data(env, state, [](napi_env, void* data, void*) { delete static_cast<EnvState*>(data); }, nullptr);
  napi_create_reference(env, StoreObject::define(env), 1, &state->store_class);
  napi_create_reference(env, PortObject::define(env), 1, &state->port_class);

  const auto function = [&](const char* name, napi_callback callback) {
    napi_value made = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &made);
    exports.Set(name, made);
  };
  function("createStore", create_store);
  function("openStore", open_store);
  function("openPort", PortObject::open);
  exports.Set("packetBytesMax", kPacketBytesMax);
  function("dieWithParent", die_with_parent);
  function("lockFile", lock_file);
  function("privatePages", private_pages);
  function("receiveAtLeast", receive_at_least);
  function("countsViews", counts_views);
  return exports;
}

}  // namespace
}  // namespace eagleray

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return eagleray::init(env, exports); }

NODE_API_MODULE(eagleray, init_addon)
