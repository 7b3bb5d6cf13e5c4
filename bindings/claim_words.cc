// SPDX-License-Identifier: Apache-2.0
#include "claim_words.h"

#include "channel_layout.h"
#include "errors.h"
#include "external_buffer.h"

namespace eagleray {
namespace {

const char* const kNames[2] = {"mine", "theirs"};

// One direction. A copy would be of no use: without external buffers there are no revocable tasks.
napi_value words_over(napi_env env, const std::shared_ptr<Client>& client, std::atomic<int32_t>* words) {
  bool allowed = true;
  napi_value array = nullptr;
  napi_value buffer = shared_buffer(env, client, reinterpret_cast<std::byte*>(words), kClaimWords * sizeof(int32_t), &allowed);
  if (buffer == nullptr || !allowed) return nullptr;
  return napi_create_typedarray(env, napi_int32_array, kClaimWords, buffer, 0, &array) == napi_ok ? array : nullptr;
}

}  // namespace

napi_value ClaimWords::get(napi_env env, const std::shared_ptr<Client>& client, uint32_t channel, std::atomic<int32_t>* mine,
                           std::atomic<int32_t>* theirs) {
  napi_value pair = nullptr;
  if (const auto found = given_.find(channel); found != given_.end()) {
    napi_get_reference_value(env, found->second, &pair);
    return pair;
  }
  if (napi_create_object(env, &pair) != napi_ok) return throw_napi(env, "make an object");
  std::atomic<int32_t>* const words[2] = {mine, theirs};
  for (int i = 0; i < 2; ++i) {
    napi_value array = words_over(env, client, words[i]);
    if (array == nullptr || napi_set_named_property(env, pair, kNames[i], array) != napi_ok) {
      return throw_napi(env, "lay an array over claim words");
    }
  }
  napi_ref ref = nullptr;
  if (napi_create_reference(env, pair, 1, &ref) != napi_ok) return throw_napi(env, "keep claim words");
  given_.emplace(channel, ref);
  return pair;
}

void ClaimWords::detach(napi_env env, uint32_t channel) {
  const auto found = given_.find(channel);
  if (found == given_.end()) return;
  napi_value pair = nullptr;
  napi_get_reference_value(env, found->second, &pair);
  for (const char* name : kNames) {
    napi_value array = nullptr;
    napi_value buffer = nullptr;
    if (napi_get_named_property(env, pair, name, &array) != napi_ok) continue;
    if (napi_get_typedarray_info(env, array, nullptr, nullptr, nullptr, &buffer, nullptr) == napi_ok) napi_detach_arraybuffer(env, buffer);
  }
  napi_delete_reference(env, found->second);
  given_.erase(found);
}

void ClaimWords::detach_all(napi_env env) {
  while (!given_.empty()) detach(env, given_.begin()->first);
}

}  // namespace eagleray
