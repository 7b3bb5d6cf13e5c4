// SPDX-License-Identifier: Apache-2.0
// Objects of a NativeStore between create, or reserve, and seal.
#include <cstring>
#include <span>

#include "args.h"
#include "errors.h"
#include "external_buffer.h"
#include "store_object.h"

namespace eagleray {

// No script runs any more, so nobody looks at the drafts' buffers; the object itself goes with its finalizer.
void StoreObject::env_ends(void* native) { static_cast<StoreObject*>(native)->abort_drafts(); }

void StoreObject::abort_drafts() {
  for (const auto& draft : drafts_) (void)store_->abort(draft.first);
  drafts_.clear();
}

// No draft is without this object: their memory must not be given back under their buffers.
void StoreObject::keep_draft(napi_env env, const ObjectId& id, const Draft& draft) {
  uint32_t count = 0;
  if (drafts_.empty()) napi_reference_ref(env, self_, &count);
  drafts_.emplace(id, draft);
}

void StoreObject::close_drafts(napi_env env) {
  while (!drafts_.empty()) {
    const ObjectId id = drafts_.begin()->first;
    end_draft(env, id, false);
    (void)store_->abort(id);
  }
}

// Takes the buffer of a draft away from the script.
void StoreObject::end_draft(napi_env env, const ObjectId& id, bool keep_bytes) {
  const auto found = drafts_.find(id);
  if (found == drafts_.end()) return;
  const Draft draft = found->second;
  if (draft.buffer != nullptr) {
    napi_value buffer = nullptr;
    napi_get_reference_value(env, draft.buffer, &buffer);
    void* bytes = nullptr;
    size_t length = 0;
    if (draft.copied && keep_bytes && napi_get_arraybuffer_info(env, buffer, &bytes, &length) == napi_ok && length == draft.size) {
      std::memcpy(draft.memory, bytes, length);
    }
    napi_detach_arraybuffer(env, buffer);
    napi_delete_reference(env, draft.buffer);
  }
  drafts_.erase(found);
  uint32_t count = 0;
  if (drafts_.empty()) napi_reference_unref(env, self_, &count);
}

bool StoreObject::draft_arguments(napi_env env, napi_value (&argv)[3], ObjectId* id, uint64_t* size, bool* secondary) {
  if (!get_hex(env, argv[0], "id", id) || !get_size(env, argv[1], "byteLength", size)) return false;
  return is_undefined(env, argv[2]) || get_bool(env, argv[2], "secondary", secondary);
}

napi_value StoreObject::create(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  ObjectId id{};
  uint64_t size = 0;
  bool secondary = false;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv, 2));
  if (self == nullptr || !draft_arguments(env, argv, &id, &size, &secondary)) return nullptr;
  Result<std::byte*> memory = self->store_->create(id, size, secondary);
  if (!memory.ok()) return throw_status(env, memory.status());
  bool allowed = true;
  Draft draft{nullptr, memory.value(), size, false, {}};
  napi_value buffer = shared_buffer(env, self->store_->client(), memory.value(), size, &allowed);
  draft.copied = !allowed;
  if (buffer == nullptr || napi_create_reference(env, buffer, 1, &draft.buffer) != napi_ok) {
    (void)self->store_->abort(id);
    return throw_napi(env, "keep the buffer of an object");
  }
  self->keep_draft(env, id, draft);
  return buffer;
}

napi_value StoreObject::reserve(napi_env env, napi_callback_info info) {
  napi_value argv[3];
  ObjectId id{};
  uint64_t size = 0;
  bool secondary = false;
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv, 2));
  if (self == nullptr || !draft_arguments(env, argv, &id, &size, &secondary)) return nullptr;
  const Result<Reserved> reserved = self->store_->reserve(id, size, secondary);
  if (!reserved.ok()) return throw_status(env, reserved.status());
  self->keep_draft(env, id, Draft{nullptr, nullptr, size, false, reserved.value()});
  return nullptr;
}

// The reserved object of which the arguments name a range and bytes; null after throwing when there is none.
const Reserved* StoreObject::reserved_range(napi_env env, napi_value (&argv)[4], uint64_t* offset, ByteSpan* bytes) {
  ObjectId id{};
  uint64_t length = 0;
  if (!get_hex(env, argv[0], "id", &id) || !get_size(env, argv[1], "offset", offset)) return nullptr;
  if (!get_bytes(env, argv[2], "bytes", bytes) || !get_size(env, argv[3], "length", &length)) return nullptr;
  const auto found = drafts_.find(id);
  if (found == drafts_.end() || found->second.buffer != nullptr) {
    throw_error(env, Code::kObjectNotFound, "this process has reserved no object of that id");
  } else if (length > bytes->length) {
    throw_error(env, Code::kInvalidArgument, "length is more than there are bytes");
  } else if (*offset > found->second.size || length > found->second.size - *offset) {
    throw_error(env, Code::kInvalidArgument, "the bytes do not lie within the object");
  } else {
    bytes->length = length;
    return &found->second.reserved;
  }
  return nullptr;
}

napi_value StoreObject::copy_range(napi_env env, napi_callback_info info, bool into_store) {
  napi_value argv[4];
  uint64_t offset = 0;
  ByteSpan bytes{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  const Reserved* reserved = self == nullptr ? nullptr : self->reserved_range(env, argv, &offset, &bytes);
  if (reserved == nullptr) return nullptr;
  const Status status = into_store ? self->store_->write(*reserved, offset, {bytes.data, bytes.length})
                                   : self->store_->read_back(*reserved, offset, {bytes.data, bytes.length});
  return status.ok() ? nullptr : throw_status(env, status);
}

napi_value StoreObject::write(napi_env env, napi_callback_info info) { return copy_range(env, info, true); }

napi_value StoreObject::read_back(napi_env env, napi_callback_info info) { return copy_range(env, info, false); }

napi_value StoreObject::seal(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  self->end_draft(env, id, true);
  const Status status = self->store_->seal(id);
  return status.ok() ? nullptr : throw_status(env, status);
}

napi_value StoreObject::abort(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  ObjectId id{};
  StoreObject* self = open(env, receive<StoreObject>(env, info, argv));
  if (self == nullptr || !get_hex(env, argv[0], "id", &id)) return nullptr;
  self->end_draft(env, id, false);
  const Status status = self->store_->abort(id);
  return status.ok() ? nullptr : throw_status(env, status);
}

}  // namespace eagleray
