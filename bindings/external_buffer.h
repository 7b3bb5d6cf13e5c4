// SPDX-License-Identifier: Apache-2.0
// Pinned objects, and parts of them, as external ArrayBuffers: one buffer a view, whose pin goes when the buffer is collected or, at once and exactly
// once, with `release`.
//
// A finalizer cannot tell whose buffer it belongs to but by address, and an address comes back: two buffers over one object, or
// a new object where a released one was. So the table counts by address. Each buffer brings one finalizer; each release takes one
// pin early and owes one finalizer that then takes none. Views live at one address are of one object, so which of their pins
// goes is all the same, and a pin can only go late, never early.
#pragma once

#include <node_api.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "store.h"

namespace eagleray {

// All views that one environment holds. Kept alive by every buffer it made.
class ViewTable : public std::enable_shared_from_this<ViewTable> {
 public:
  // Takes the view over. Where external buffers are not allowed (Electron), a copy. Null with an exception pending on failure.
  napi_value wrap(napi_env env, const Store& store, const View& view);
  // A part of a buffer that this table holds and that is of the store in that directory, as a buffer with a pin of its own.
  // JavaScript's null when `buffer` is none; null with an exception pending when the part does not lie within it, or on failure.
  napi_value part(napi_env env, const std::string& directory, napi_value buffer, uint64_t offset, uint64_t length);
  // Detaches and unpins. False when `buffer` is no buffer of this table with a pin.
  bool release(napi_env env, napi_value buffer);
  // The environment is going down: no script looks at a buffer again, and not every finalizer is sure to come.
  void end();

 private:
  struct Held {
    Store store;
    View view;
  };
  struct Place {
    std::vector<Held> live;
    size_t released = 0;  // buffers detached whose finalizer is still to come
  };
  struct Hint;
  static void finalize(napi_env env, void* data, void* hint);
  void take_one(std::unordered_map<const void*, Place>::iterator place);

  std::unordered_map<const void*, Place> places_;
};

// An ArrayBuffer over memory of the segment that stays mapped as long as the buffer lives. `allowed` is false, and the result a
// buffer of its own, where external buffers are not allowed. Null with an exception pending on failure.
napi_value shared_buffer(napi_env env, const std::shared_ptr<Client>& client, std::byte* data, size_t length, bool* allowed);

}  // namespace eagleray
