// SPDX-License-Identifier: Apache-2.0
#include "socket_calls.h"

#include <sys/socket.h>

#include "args.h"

namespace eagleray {

// The kernel lowers `bytes` to what the socket can hold, and makes room for them; the end of a connection wakes whatever they are.
napi_value receive_at_least(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t file = 0;
  uint32_t bytes = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  if (!get_uint32(env, argv[0], "fd", &file) || !get_uint32(env, argv[1], "bytes", &bytes)) return nullptr;
  const int least = bytes > INT32_MAX ? INT32_MAX : static_cast<int>(bytes);
  return to_js(env, setsockopt(static_cast<int>(file), SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least) == 0);
}

}  // namespace eagleray
