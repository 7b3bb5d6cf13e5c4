// SPDX-License-Identifier: Apache-2.0
#include "file_range.h"

#include <memory>

#include "errors.h"

namespace eagleray {
namespace {

// What no script can forge.
constexpr napi_type_tag kRangeTag = {0x6561676c65726179, 0x66696c6572616e67};

struct Held {
  Store store;
  View view;
};

void let_go(Held* held) {
  const std::unique_ptr<Held> owned(held);
  owned->store.release(owned->view);
}

void finalize(napi_env, void* held, void*) { let_go(static_cast<Held*>(held)); }

bool set_boolean(napi_env env, napi_value object, const char* name, bool value) {
  napi_value boolean = nullptr;
  return napi_get_boolean(env, value, &boolean) == napi_ok && napi_set_named_property(env, object, name, boolean) == napi_ok;
}

bool set_number(napi_env env, napi_value object, const char* name, uint64_t value) {
  napi_value number = nullptr;
  return napi_create_double(env, static_cast<double>(value), &number) == napi_ok &&
         napi_set_named_property(env, object, name, number) == napi_ok;
}

}  // namespace

napi_value make_file_range(napi_env env, const Store& store, const Source& source) {
  auto held = std::make_unique<Held>(Held{store, source.view});
  napi_value range = nullptr;
  napi_value path = nullptr;
  const bool made = napi_create_object(env, &range) == napi_ok &&
                    napi_create_string_utf8(env, source.path.data(), source.path.size(), &path) == napi_ok &&
                    napi_set_named_property(env, range, "path", path) == napi_ok &&
                    set_number(env, range, "fileOffset", source.offset) && set_number(env, range, "byteLength", source.view.size) &&
                    set_boolean(env, range, "onDisk", source.on_disk) &&
                    napi_type_tag_object(env, range, &kRangeTag) == napi_ok &&
                    napi_wrap(env, range, held.get(), finalize, nullptr, nullptr) == napi_ok;
  if (made) {
    held.release();  // the finalizer's
    return range;
  }
  let_go(held.release());
  return throw_napi(env, "make a range of a file");
}

bool release_file_range(napi_env env, napi_value range) {
  bool ours = false;
  void* held = nullptr;
  if (napi_check_object_type_tag(env, range, &kRangeTag, &ours) != napi_ok || !ours) return false;
  if (napi_remove_wrap(env, range, &held) != napi_ok) return false;
  let_go(static_cast<Held*>(held));
  return true;
}

}  // namespace eagleray
