// SPDX-License-Identifier: Apache-2.0
// node-addon-api as every build of this addon uses it: for what is not on a hot path, and without C++ exceptions.
#pragma once

#define NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS
#define NODE_ADDON_API_DISABLE_DEPRECATED
#include <napi.h>
