// SPDX-License-Identifier: Apache-2.0
#include "external_buffer.h"

#include <cstring>

#include "errors.h"

namespace eagleray {
namespace {

// V8 gives a buffer of no bytes no address to know it by, so those are told by this tag, and by not being detached yet.
constexpr napi_type_tag kEmptyView = {0x6561676c65726179, 0x656d707479766965};

// An object without bytes needs no pin.
napi_value wrap_empty(napi_env env) {
  void* data = nullptr;
  napi_value buffer = nullptr;
  if (napi_create_arraybuffer(env, 0, &data, &buffer) != napi_ok || napi_type_tag_object(env, buffer, &kEmptyView) != napi_ok) {
    return throw_napi(env, "make an empty ArrayBuffer");
  }
  return buffer;
}

bool release_empty(napi_env env, napi_value buffer) {
  bool ours = false;
  bool detached = true;
  if (napi_check_object_type_tag(env, buffer, &kEmptyView, &ours) != napi_ok || !ours) return false;
  if (napi_is_detached_arraybuffer(env, buffer, &detached) != napi_ok || detached) return false;
  return napi_detach_arraybuffer(env, buffer) == napi_ok;
}

}  // namespace

struct ViewTable::Hint {
  std::shared_ptr<ViewTable> table;
  const void* data;
};

napi_value ViewTable::wrap(napi_env env, const Store& store, const View& view) {
  if (view.size == 0) {
    Store(store).release(view);
    return wrap_empty(env);
  }
  auto* data = const_cast<std::byte*>(view.data);  // a private mapping: writing hurts nobody
  auto hint = std::make_unique<Hint>(Hint{shared_from_this(), data});
  napi_value buffer = nullptr;
  places_[data].live.push_back({store, view});
  const napi_status made = napi_create_external_arraybuffer(env, data, view.size, finalize, hint.get(), &buffer);
  if (made != napi_no_external_buffers_allowed) {
    hint.release();  // the finalizer's, which runs also when Node refuses the size
    return made == napi_ok ? buffer : throw_napi(env, "make an ArrayBuffer over an object");
  }
  void* copy = nullptr;
  if (napi_create_arraybuffer(env, view.size, &copy, &buffer) == napi_ok) {
    std::memcpy(copy, data, view.size);
  } else {
    throw_napi(env, "make an ArrayBuffer for an object");
  }
  finalize(env, data, hint.release());
  return buffer;
}

napi_value ViewTable::part(napi_env env, const std::string& directory, napi_value buffer, uint64_t offset, uint64_t length) {
  void* data = nullptr;
  size_t size = 0;
  napi_value none = nullptr;
  napi_get_null(env, &none);
  if (napi_get_arraybuffer_info(env, buffer, &data, &size) != napi_ok || size == 0) return none;
  const auto place = places_.find(data);
  if (place == places_.end() || place->second.live.empty()) return none;
  const Held whole = place->second.live.back();
  if (whole.store.client()->directory() != directory) return none;
  // Against the buffer's size: those at one address may be parts of different lengths, all of one object.
  if (offset > size || length > size - offset) return throw_error(env, Code::kInvalidArgument, "the part does not lie within the view");
  Store store = whole.store;
  const Result<View> part = store.part(whole.view, offset, length);
  return part.ok() ? wrap(env, store, part.value()) : throw_status(env, part.status());
}

bool ViewTable::release(napi_env env, napi_value buffer) {
  void* data = nullptr;
  size_t length = 0;
  bool is_buffer = false;
  if (napi_is_arraybuffer(env, buffer, &is_buffer) != napi_ok || !is_buffer) return false;
  if (napi_get_arraybuffer_info(env, buffer, &data, &length) != napi_ok) return false;
  if (length == 0) return release_empty(env, buffer);
  const auto place = places_.find(data);
  if (place == places_.end() || place->second.live.empty()) return false;
  if (napi_detach_arraybuffer(env, buffer) != napi_ok) return false;
  ++place->second.released;
  take_one(place);
  return true;
}

void ViewTable::finalize(napi_env, void*, void* hint_pointer) {
  const std::unique_ptr<Hint> hint(static_cast<Hint*>(hint_pointer));
  auto& places = hint->table->places_;
  const auto place = places.find(hint->data);
  if (place == places.end()) return;
  if (place->second.released > 0) {
    --place->second.released;
  } else if (!place->second.live.empty()) {
    hint->table->take_one(place);
  }
  if (place->second.released == 0 && place->second.live.empty()) places.erase(place);
}

void ViewTable::end() {
  for (auto& place : places_) {
    for (Held& held : place.second.live) held.store.release(held.view);
  }
  places_.clear();
}

void ViewTable::take_one(std::unordered_map<const void*, Place>::iterator place) {
  Held held = std::move(place->second.live.back());
  place->second.live.pop_back();
  held.store.release(held.view);
}

napi_value shared_buffer(napi_env env, const std::shared_ptr<Client>& client, std::byte* data, size_t length, bool* allowed) {
  auto hold = std::make_unique<std::shared_ptr<Client>>(client);
  const auto let_go = [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<Client>*>(hint); };
  napi_value buffer = nullptr;
  const napi_status made = napi_create_external_arraybuffer(env, data, length, let_go, hold.get(), &buffer);
  *allowed = made != napi_no_external_buffers_allowed;
  if (*allowed) {
    hold.release();  // the finalizer's, which runs also when Node refuses the size
    return made == napi_ok ? buffer : throw_napi(env, "make an ArrayBuffer over shared memory");
  }
  void* own = nullptr;
  return napi_create_arraybuffer(env, length, &own, &buffer) == napi_ok ? buffer : throw_napi(env, "make an ArrayBuffer");
}

}  // namespace eagleray
