// SPDX-License-Identifier: Apache-2.0
// How native code reports failure: a Status, or a Result<T> that holds a value or a Status. Nothing in native/ throws.
//
// A message says what was attempted and on which path, id or slot. An ok Status allocates nothing.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace eagleray {

enum class Code : int {
  kOk = 0,
  kInvalidArgument,  // The caller's arguments can never work.
  kObjectExists,     // There is an object of that id that is not being deleted.
  kObjectNotFound,   // No sealed object of that id (for seal and abort: none this process is creating).
  kStoreFull,        // The heap or the table has no room; deleting objects helps.
  kStoreSpace,       // The file system has no room; deleting objects may not help.
  kDiskFull,         // The disk, or the quota of it, has no room for spilled objects; deleting objects helps.
  kSpilled,          // The object is on disk, and the caller did not want to wait for that.
  kStoreCorrupt,     // The segment holds what no client may have written; it is not usable.
  kStoreVersion,     // The segment was made by another version, or it is no segment.
  kTooManyClients,   // Every client slot is taken by a live process.
  kTooManyChannels,  // Every channel of the segment is in use.
  kPeerGone,         // The process named is not attached (any more).
  kClosed,           // Used after close.
  kSystem,           // The operating system refused; the message names the call and errno.
};

// The stable name that crosses to JavaScript as `error.code`. Never null.
const char* code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}
  // For outcomes that are common and need no words.
  explicit Status(Code code) : code_(code) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // "ERR_EAGLERAY_…: message", for logs and tests.
  std::string describe() const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// A Status of kSystem: "<attempt>: <text of errno>". kStoreSpace when errno says that the file system is full.
Status system_error(const std::string& attempt, int error);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}              // NOLINT: a value is a result
  Result(Status status) : status_(std::move(status)) {}      // NOLINT: so is a failure
  bool ok() const { return value_.has_value(); }
  Code code() const { return status_.code(); }
  const Status& status() const { return status_; }
  // REQUIRES: ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T value() && { return std::move(*value_); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace eagleray
