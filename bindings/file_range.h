// SPDX-License-Identifier: Apache-2.0
// A pinned object that is on disk, as where its bytes lie in a file: an object with the pin wrapped in it, which goes when the object is
// collected or, at once and exactly once, with `release`.
#pragma once

#include <node_api.h>

#include "store.h"

namespace eagleray {

// Takes over the pin. Null with an exception pending on failure.
napi_value make_file_range(napi_env env, const Store& store, const Source& source);

// False when `range` is none, or released before.
bool release_file_range(napi_env env, napi_value range);

}  // namespace eagleray
