// SPDX-License-Identifier: Apache-2.0
// Arguments as they cross the bridge. Each reader gives false after throwing a TypeError that names the argument.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "errors.h"
#include "object_id.h"

namespace eagleray {

inline bool bad_argument(napi_env env, const char* name, const char* expected) {
  throw_error(env, Code::kInvalidArgument, std::string(name) + " must be " + expected);
  return false;
}

// The arguments and the native object behind `this`. V8 has checked the receiver: methods carry their class's signature. Arguments
// beyond the `needed` ones that are left out become undefined.
template <typename Self, size_t N>
inline Self* receive(napi_env env, napi_callback_info info, napi_value (&argv)[N], size_t needed = N) {
  size_t argc = N;
  napi_value self = nullptr;
  void* native = nullptr;
  if (napi_get_cb_info(env, info, &argc, argv, &self, nullptr) != napi_ok || napi_unwrap(env, self, &native) != napi_ok) {
    throw_napi(env, "find the native object");
    return nullptr;
  }
  if (argc < needed) {
    throw_error(env, Code::kInvalidArgument, std::to_string(needed) + " arguments are needed, not " + std::to_string(argc));
    return nullptr;
  }
  return static_cast<Self*>(native);
}

template <typename Self>
inline Self* receive(napi_env env, napi_callback_info info) {
  napi_value self = nullptr;
  void* native = nullptr;
  if (napi_get_cb_info(env, info, nullptr, nullptr, &self, nullptr) != napi_ok || napi_unwrap(env, self, &native) != napi_ok) {
    throw_napi(env, "find the native object");
    return nullptr;
  }
  return static_cast<Self*>(native);
}

struct ByteSpan {
  std::byte* data;
  size_t length;
};

inline bool get_bytes(napi_env env, napi_value value, const char* name, ByteSpan* out) {
  napi_typedarray_type type;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &out->length, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array) {
    return bad_argument(env, name, "a Uint8Array");
  }
  out->data = static_cast<std::byte*>(data);
  return true;
}

inline bool get_uint32(napi_env env, napi_value value, const char* name, uint32_t* out) {
  double number = -1;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= 4294967295.0) || number != std::trunc(number)) {
    return bad_argument(env, name, "an integer from 0 to 2^32 - 1");
  }
  *out = static_cast<uint32_t>(number);
  return true;
}

// A number of bytes.
inline bool get_size(napi_env env, napi_value value, const char* name, uint64_t* out) {
  double number = -1;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= 9007199254740991.0) ||
      number != std::trunc(number)) {
    return bad_argument(env, name, "a safe integer, not negative");
  }
  *out = static_cast<uint64_t>(number);
  return true;
}

inline bool get_string(napi_env env, napi_value value, const char* name, std::string* out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return bad_argument(env, name, "a string");
  out->resize(length);
  napi_get_value_string_utf8(env, value, out->data(), length + 1, &length);
  return true;
}

template <size_t N>
inline bool get_hex(napi_env env, napi_value value, const char* name, std::array<uint8_t, N>* out) {
  char digits[2 * N + 2];
  size_t length = 0;
  if (napi_get_value_string_latin1(env, value, digits, sizeof digits, &length) == napi_ok && length == 2 * N &&
      from_hex(std::string_view(digits, length), out)) {
    return true;
  }
  throw_error(env, Code::kInvalidArgument, std::string(name) + " must be " + std::to_string(2 * N) + " hex digits");
  return false;
}

inline bool get_bool(napi_env env, napi_value value, const char* name, bool* out) {
  return napi_get_value_bool(env, value, out) == napi_ok || bad_argument(env, name, "a boolean");
}

// Whether an argument was left out.
inline bool is_undefined(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_undefined;
}

inline napi_value to_js(napi_env env, bool value) {
  napi_value result = nullptr;
  napi_get_boolean(env, value, &result);
  return result;
}

inline napi_value to_js(napi_env env, uint32_t value) {
  napi_value result = nullptr;
  napi_create_uint32(env, value, &result);
  return result;
}

}  // namespace eagleray
