// SPDX-License-Identifier: Apache-2.0
// ArrayBuffers over memory that V8 does not count as its own.
//
// V8 takes the bytes of an external ArrayBuffer for memory that a collection would free, and collects for each 64 MiB of them. Views of
// shared memory free nothing, so what V8 has for memory of that kind is used: a backing store with V8's EmptyDeleter counts nothing. It
// calls nobody when it goes, either; but it is held by a shared pointer, and the pointer's own deleter is ours. Node-API has no way to
// make one, so V8's functions are looked up in the running program. Where one is missing (another V8, another C++ library) or does not
// do what it should in a trial, or EAGLERAY_COUNT_VIEWS is set in the environment, callers use Node-API's external buffers, which count.
#pragma once

#include <node_api.h>

#include <cstddef>

namespace eagleray {

// Whether this Node has what it takes.
bool can_make_uncounted_buffers(napi_env env);

// From this length on V8 might refuse.
inline constexpr size_t kUncountedBytesMax = (size_t{1} << 32) - 1;

// `let_go(hint)` is called exactly once, when the last ArrayBuffer over the memory is gone, whichever thread that was transferred to:
// in any thread, and in the midst of a collection, so it must not call into JavaScript or wait for whoever does. Null on failure, and
// then it is not called. REQUIRES: can_make_uncounted_buffers; 0 < length <= kUncountedBytesMax.
napi_value make_uncounted_buffer(napi_env env, void* data, size_t length, void (*let_go)(void*), void* hint);

}  // namespace eagleray
