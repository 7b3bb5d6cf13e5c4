// SPDX-License-Identifier: Apache-2.0
// The exports that concern the process and not a store.
#pragma once

#include <node_api.h>

namespace eagleray {

napi_value die_with_parent(napi_env env, napi_callback_info info);
napi_value lock_file(napi_env env, napi_callback_info info);
napi_value private_pages(napi_env env, napi_callback_info info);

}  // namespace eagleray
