// SPDX-License-Identifier: Apache-2.0
#include "status.h"

#include <cerrno>
#include <system_error>

namespace eagleray {

const char* code_name(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "ERR_EAGLERAY_INVALID_ARGUMENT";
    case Code::kObjectExists: return "ERR_EAGLERAY_OBJECT_EXISTS";
    case Code::kObjectNotFound: return "ERR_EAGLERAY_OBJECT_NOT_FOUND";
    case Code::kStoreFull: return "ERR_EAGLERAY_OBJECT_STORE_FULL";
    case Code::kStoreSpace: return "ERR_EAGLERAY_STORE_SPACE";
    case Code::kDiskFull: return "ERR_EAGLERAY_OUT_OF_DISK";
    case Code::kSpilled: return "ERR_EAGLERAY_SPILLED";
    case Code::kStoreCorrupt: return "ERR_EAGLERAY_STORE_CORRUPT";
    case Code::kStoreVersion: return "ERR_EAGLERAY_STORE_VERSION";
    case Code::kTooManyClients: return "ERR_EAGLERAY_TOO_MANY_CLIENTS";
    case Code::kTooManyChannels: return "ERR_EAGLERAY_TOO_MANY_CHANNELS";
    case Code::kPeerGone: return "ERR_EAGLERAY_PEER_GONE";
    case Code::kClosed: return "ERR_EAGLERAY_CLOSED";
    case Code::kSystem: return "ERR_EAGLERAY_SYSTEM";
  }
  return "ERR_EAGLERAY_SYSTEM";
}

std::string Status::describe() const {
  std::string text = code_name(code_);
  if (!message_.empty()) text += ": " + message_;
  return text;
}

Status system_error(const std::string& attempt, int error) {
  const bool space = error == ENOSPC || error == EDQUOT || error == EFBIG;
  // std::generic_category gives strerror's text without its shared buffer.
  return Status(space ? Code::kStoreSpace : Code::kSystem, attempt + ": " + std::generic_category().message(error));
}

}  // namespace eagleray
