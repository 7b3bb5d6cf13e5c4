// SPDX-License-Identifier: Apache-2.0
// Pinned objects, and parts of them, as external ArrayBuffers: one buffer a view, whose pin goes when the buffer is collected or, at once and exactly
// once, with `release`.
//
// A buffer can be transferred, within its thread and to another, and is then another buffer over the same memory; so buffers are known by
// their address alone. And an address comes back: two buffers over one object, or a new object where a released one was. So a table counts
// by address. Each buffer's memory is let go of once; each release takes one pin early and owes one letting go that then takes none. Views
// live at one address are of one object, so which of their pins goes is all the same, and a pin can only go late, never early.
//
// Buffers that V8 does not count (uncounted_buffer.h) are in one table for the process. Where this Node cannot make them, or they are
// longer, they are Node-API's, each environment's in a table of its own: those cannot leave it, and not every finalizer is sure to come.
#pragma once

#include <node_api.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store.h"

namespace eagleray {

// Takes the view over. Where external buffers are not allowed (Electron), a copy. Null with an exception pending on failure.
napi_value wrap_view(napi_env env, const Store& store, const View& view);
// A part of a buffer that is a live view of the store in that directory, as a buffer with a pin of its own. JavaScript's null when
// `buffer` is none; null with an exception pending when the part does not lie within it, or on failure.
napi_value part_of_view(napi_env env, const std::string& directory, napi_value buffer, uint64_t offset, uint64_t length);
// Detaches and unpins. False when `buffer` is no view with a pin.
bool release_view(napi_env env, napi_value buffer);

// Threads: any. The mutex is never held while V8 is called: a collection waits for buffers to be let go of, in whichever thread that is.
class ViewTable {
 public:
  struct Held {
    Store store;
    View view;
  };

  void hold(const void* data, Held held);
  // The memory of one buffer there is let go of: the last call for it.
  void let_go(const void* data);
  // One of the views there, which stays. REQUIRES: the caller has a live buffer at that address, whose pin keeps the object.
  std::optional<Held> held_at(const void* data);
  // One of the views there, for a buffer that is about to be detached; or back again.
  std::optional<Held> take_released(const void* data);
  void put_back(const void* data, Held held);
  // No script looks at any of these buffers again.
  void end();

 private:
  struct Place {
    std::vector<Held> live;
    size_t released = 0;  // buffers released whose memory is still to be let go of
  };

  std::mutex mutex_;
  std::unordered_map<const void*, Place> places_;
};

// An ArrayBuffer over memory of the segment that stays mapped as long as the buffer lives. `allowed` is false, and the result a
// buffer of its own, where external buffers are not allowed. Null with an exception pending on failure.
napi_value shared_buffer(napi_env env, const std::shared_ptr<Client>& client, std::byte* data, size_t length, bool* allowed);

}  // namespace eagleray
