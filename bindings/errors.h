// SPDX-License-Identifier: Apache-2.0
// Native failures as JavaScript errors: `code` is the stable name of the Status, `message` what was attempted.
#pragma once

#include <node_api.h>

#include <string>

#include "status.h"

namespace eagleray {

// Throws, and gives the null that a callback returns then. An argument that can never work is a TypeError.
inline napi_value throw_status(napi_env env, const Status& status) {
  const std::string message = status.message().empty() ? code_name(status.code()) : status.message();
  napi_value code = nullptr;
  napi_value text = nullptr;
  napi_value error = nullptr;
  if (napi_create_string_utf8(env, code_name(status.code()), NAPI_AUTO_LENGTH, &code) != napi_ok) return nullptr;
  if (napi_create_string_utf8(env, message.data(), message.size(), &text) != napi_ok) return nullptr;
  const napi_status made = status.code() == Code::kInvalidArgument ? napi_create_type_error(env, code, text, &error)
                                                                    : napi_create_error(env, code, text, &error);
  if (made == napi_ok) napi_throw(env, error);
  return nullptr;
}

inline napi_value throw_error(napi_env env, Code code, const std::string& message) { return throw_status(env, Status(code, message)); }

// For calls that only fail when the environment is going down or memory is out: throws unless an exception is pending already.
inline napi_value throw_napi(napi_env env, const char* attempt) {
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) == napi_ok && !pending) {
    throw_error(env, Code::kSystem, std::string("node could not ") + attempt);
  }
  return nullptr;
}

}  // namespace eagleray
