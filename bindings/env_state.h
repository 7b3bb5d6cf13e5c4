// SPDX-License-Identifier: Apache-2.0
// What the addon knows of one environment (the main thread or a worker thread). Nothing else in bindings/ outlives a call
// without belonging to an environment.
#pragma once

#include <node_api.h>

#include <memory>

#include "external_buffer.h"

namespace eagleray {

struct EnvState {
  ~EnvState() { views->end(); }

  napi_ref store_class = nullptr;
  napi_ref port_class = nullptr;
  // What the next construction of either class wraps: scripts cannot construct them.
  void* under_construction = nullptr;
  // Views that V8 counts.
  std::shared_ptr<ViewTable> views = std::make_shared<ViewTable>();
};

inline EnvState& env_state(napi_env env) {
  void* state = nullptr;
  napi_get_instance_data(env, &state);
  return *static_cast<EnvState*>(state);
}

// Makes a JavaScript object of `klass` around `native`. Null, with an exception pending, on failure: `native` is the caller's still.
inline napi_value construct(napi_env env, napi_ref klass, void* native) {
  EnvState& state = env_state(env);
  napi_value constructor = nullptr;
  napi_value object = nullptr;
  state.under_construction = native;
  const bool made = napi_get_reference_value(env, klass, &constructor) == napi_ok &&
                    napi_new_instance(env, constructor, 0, nullptr, &object) == napi_ok;
  state.under_construction = nullptr;
  return made ? object : nullptr;
}

}  // namespace eagleray
