// SPDX-License-Identifier: Apache-2.0
// What Node does not offer of its sockets.
#pragma once

#include <node_api.h>

namespace eagleray {

napi_value receive_at_least(napi_env env, napi_callback_info info);

}  // namespace eagleray
