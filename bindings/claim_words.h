// SPDX-License-Identifier: Apache-2.0
// The claim words of a port's channels as Int32Arrays over the segment. They are detached when their channel ends, since its
// memory may then serve another pair of processes.
#pragma once

#include <node_api.h>

#include <atomic>
#include <memory>
#include <unordered_map>

#include "client.h"

namespace eagleray {

class ClaimWords {
 public:
  // The object { mine, theirs } of that channel, made on the first call. Null with an exception pending on failure.
  napi_value get(napi_env env, const std::shared_ptr<Client>& client, uint32_t channel, std::atomic<int32_t>* mine,
                 std::atomic<int32_t>* theirs);
  // The channel's, or all. Outside of the environment's teardown.
  void detach(napi_env env, uint32_t channel);
  void detach_all(napi_env env);

 private:
  std::unordered_map<uint32_t, napi_ref> given_;
};

}  // namespace eagleray
