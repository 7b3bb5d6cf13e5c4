// SPDX-License-Identifier: Apache-2.0
// The few functions of libuv that the port needs. Node exports them, and libuv keeps their ABI for all of 1.x, but npm has no
// package with uv.h: so they are declared here, over handles of unknown content that are allocated by `uv_handle_size`.
#pragma once

#include <cstddef>

struct uv_loop_s;
struct uv_handle_s;

extern "C" {

using uv_handle_callback = void (*)(uv_handle_s* handle);
using uv_poll_callback = void (*)(uv_handle_s* handle, int status, int events);

size_t uv_handle_size(int type);
void* uv_handle_get_data(const uv_handle_s* handle);
void uv_handle_set_data(uv_handle_s* handle, void* data);
void uv_ref(uv_handle_s* handle);
void uv_unref(uv_handle_s* handle);
void uv_close(uv_handle_s* handle, uv_handle_callback closed);
const char* uv_strerror(int error);

int uv_poll_init(uv_loop_s* loop, uv_handle_s* handle, int fd);
int uv_poll_start(uv_handle_s* handle, int events, uv_poll_callback callback);

int uv_idle_init(uv_loop_s* loop, uv_handle_s* handle);
int uv_idle_start(uv_handle_s* handle, uv_handle_callback callback);
int uv_idle_stop(uv_handle_s* handle);

int uv_check_init(uv_loop_s* loop, uv_handle_s* handle);
int uv_check_start(uv_handle_s* handle, uv_handle_callback callback);
int uv_check_stop(uv_handle_s* handle);

}  // extern "C"

namespace eagleray::uv {

// uv_handle_type and uv_poll_event of libuv 1.x.
inline constexpr int kCheck = 2;
inline constexpr int kIdle = 6;
inline constexpr int kPoll = 8;
inline constexpr int kReadable = 1;

}  // namespace eagleray::uv
