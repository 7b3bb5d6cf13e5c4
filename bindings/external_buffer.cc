// SPDX-License-Identifier: Apache-2.0
#include "external_buffer.h"

#include <cstring>
#include <utility>

#include "env_state.h"
#include "errors.h"
#include "uncounted_buffer.h"

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

// Keeps the table as long as a buffer is to be let go of.
struct Hint {
  std::shared_ptr<ViewTable> table;
  const void* data;
};

void let_go(void* pointer) {
  const std::unique_ptr<Hint> hint(static_cast<Hint*>(pointer));
  hint->table->let_go(hint->data);
}

// Never destroyed: buffers go later than anything that the process destroys.
const std::shared_ptr<ViewTable>& table_of_process() {
  static const auto* const table = new std::shared_ptr<ViewTable>(std::make_shared<ViewTable>());
  return *table;
}

napi_value wrap_uncounted(napi_env env, std::byte* data, const Store& store, const View& view) {
  const auto& table = table_of_process();
  table->hold(data, {store, view});
  auto* hint = new Hint{table, data};
  const napi_value buffer = make_uncounted_buffer(env, data, view.size, let_go, hint);
  if (buffer != nullptr) return buffer;
  let_go(hint);
  return throw_napi(env, "make an ArrayBuffer over an object");
}

napi_value wrap_counted(napi_env env, std::byte* data, const Store& store, const View& view) {
  const auto& table = env_state(env).views;
  table->hold(data, {store, view});
  auto* hint = new Hint{table, data};
  napi_value buffer = nullptr;
  const auto finalize = [](napi_env, void*, void* pointer) { let_go(pointer); };
  const napi_status made = napi_create_external_arraybuffer(env, data, view.size, finalize, hint, &buffer);
  // The finalizer runs also when Node refuses the size.
  if (made != napi_no_external_buffers_allowed) return made == napi_ok ? buffer : throw_napi(env, "make an ArrayBuffer over an object");
  void* copy = nullptr;
  if (napi_create_arraybuffer(env, view.size, &copy, &buffer) == napi_ok) {
    std::memcpy(copy, data, view.size);
  } else {
    throw_napi(env, "make an ArrayBuffer for an object");
  }
  let_go(hint);
  return buffer;
}

}  // namespace

napi_value wrap_view(napi_env env, const Store& store, const View& view) {
  if (view.size == 0) {
    Store(store).release(view);
    return wrap_empty(env);
  }
  auto* data = const_cast<std::byte*>(view.data);  // a private mapping: writing hurts nobody
  const bool uncounted = view.size <= kUncountedBytesMax && can_make_uncounted_buffers(env);
  return uncounted ? wrap_uncounted(env, data, store, view) : wrap_counted(env, data, store, view);
}

napi_value part_of_view(napi_env env, const std::string& directory, napi_value buffer, uint64_t offset, uint64_t length) {
  void* data = nullptr;
  size_t size = 0;
  napi_value none = nullptr;
  napi_get_null(env, &none);
  if (napi_get_arraybuffer_info(env, buffer, &data, &size) != napi_ok || size == 0) return none;
  std::optional<ViewTable::Held> whole = table_of_process()->held_at(data);
  if (!whole.has_value()) whole = env_state(env).views->held_at(data);
  if (!whole.has_value() || whole->store.client()->directory() != directory) return none;
  // Against the buffer's size: those at one address may be parts of different lengths, all of one object.
  if (offset > size || length > size - offset) return throw_error(env, Code::kInvalidArgument, "the part does not lie within the view");
  const Result<View> part = whole->store.part(whole->view, offset, length);
  return part.ok() ? wrap_view(env, whole->store, part.value()) : throw_status(env, part.status());
}

bool release_view(napi_env env, napi_value buffer) {
  void* data = nullptr;
  size_t length = 0;
  bool is_buffer = false;
  if (napi_is_arraybuffer(env, buffer, &is_buffer) != napi_ok || !is_buffer) return false;
  if (napi_get_arraybuffer_info(env, buffer, &data, &length) != napi_ok) return false;
  if (length == 0) return release_empty(env, buffer);
  for (const auto& table : {table_of_process(), env_state(env).views}) {
    std::optional<ViewTable::Held> held = table->take_released(data);
    if (!held.has_value()) continue;
    // Detaching may let go of the memory then and there.
    if (napi_detach_arraybuffer(env, buffer) == napi_ok) {
      held->store.release(held->view);
      return true;
    }
    table->put_back(data, std::move(*held));
    return false;
  }
  return false;
}

void ViewTable::hold(const void* data, Held held) {
  std::lock_guard<std::mutex> lock(mutex_);
  places_[data].live.push_back(std::move(held));
}

void ViewTable::let_go(const void* data) {
  std::optional<Held> last;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto found = places_.find(data);
    if (found == places_.end()) return;
    Place& place = found->second;
    if (place.released > 0) {
      place.released--;
    } else if (!place.live.empty()) {
      last = std::move(place.live.back());
      place.live.pop_back();
    }
    if (place.released == 0 && place.live.empty()) places_.erase(found);
  }
  if (last.has_value()) last->store.release(last->view);
}

std::optional<ViewTable::Held> ViewTable::held_at(const void* data) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto place = places_.find(data);
  if (place == places_.end() || place->second.live.empty()) return std::nullopt;
  return place->second.live.back();
}

std::optional<ViewTable::Held> ViewTable::take_released(const void* data) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto place = places_.find(data);
  if (place == places_.end() || place->second.live.empty()) return std::nullopt;
  Held held = std::move(place->second.live.back());
  place->second.live.pop_back();
  place->second.released++;
  return held;
}

void ViewTable::put_back(const void* data, Held held) {
  std::lock_guard<std::mutex> lock(mutex_);
  Place& place = places_[data];
  place.live.push_back(std::move(held));
  place.released--;
}

void ViewTable::end() {
  std::unordered_map<const void*, Place> places;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    places.swap(places_);
  }
  for (auto& place : places) {
    for (Held& held : place.second.live) held.store.release(held.view);
  }
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
