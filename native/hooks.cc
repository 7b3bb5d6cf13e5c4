// SPDX-License-Identifier: Apache-2.0
#include "hooks.h"

namespace eagleray {
namespace {
StoreHooks hooks_in_use;
}

void set_store_hooks(const StoreHooks& hooks) { hooks_in_use = hooks; }
const StoreHooks& store_hooks() { return hooks_in_use; }

}  // namespace eagleray
