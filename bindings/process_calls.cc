// SPDX-License-Identifier: Apache-2.0
#include "process_calls.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "args.h"
#include "errors.h"

namespace eagleray {

napi_value die_with_parent(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  uint32_t parent = 0;
  uint32_t signal = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  if (!get_uint32(env, argv[0], "parentPid", &parent) || !get_uint32(env, argv[1], "signal", &signal)) return nullptr;
  if (prctl(PR_SET_PDEATHSIG, static_cast<unsigned long>(signal)) != 0) {
    return throw_status(env, system_error("ask for signal " + std::to_string(signal) + " when the parent dies", errno));
  }
  // Looked at afterwards: a parent that died before the request sends nothing.
  return to_js(env, getppid() == static_cast<pid_t>(parent));
}

napi_value lock_file(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  std::string path;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok || !get_string(env, argv[0], "path", &path)) return nullptr;
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return throw_status(env, system_error("open the lock file " + path, errno));
  if (flock(file, LOCK_EX | LOCK_NB) == 0) return to_js(env, true);  // the descriptor stays open with the process: it is the lock
  const int error = errno;
  close(file);
  return error == EWOULDBLOCK ? to_js(env, false) : throw_status(env, system_error("lock " + path, error));
}

napi_value private_pages(napi_env env, napi_callback_info info) {
  // An entry of /proc/self/pagemap: 63 present, 62 swapped, 61 page of a file or shared memory. Without 61 it is a copy.
  constexpr uint64_t kHere = uint64_t{1} << 63 | uint64_t{1} << 62;
  constexpr uint64_t kOfFile = uint64_t{1} << 61;
  size_t argc = 1;
  napi_value argv[1];
  void* data = nullptr;
  size_t length = 0;
  if (napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr) != napi_ok) return nullptr;
  if (napi_get_arraybuffer_info(env, argv[0], &data, &length) != napi_ok) {
    return throw_error(env, Code::kInvalidArgument, "view must be an ArrayBuffer");
  }
  if (length == 0) return to_js(env, 0u);
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t first = reinterpret_cast<uint64_t>(data) / page;
  const uint64_t last = (reinterpret_cast<uint64_t>(data) + length - 1) / page;
  const int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (file < 0) return throw_status(env, system_error("open /proc/self/pagemap", errno));
  std::vector<uint64_t> entries(512);
  uint32_t copies = 0;
  for (uint64_t at = first; at <= last;) {
    const uint64_t wanted = std::min<uint64_t>(entries.size(), last - at + 1);
    const ssize_t got = pread(file, entries.data(), wanted * sizeof(uint64_t), static_cast<off_t>(at * sizeof(uint64_t)));
    if (got <= 0) {
      const int error = errno;
      close(file);
      return throw_status(env, system_error("read /proc/self/pagemap", error));
    }
    const uint64_t count = static_cast<uint64_t>(got) / sizeof(uint64_t);
    for (uint64_t i = 0; i < count; ++i) copies += (entries[i] & kHere) != 0 && (entries[i] & kOfFile) == 0 ? 1 : 0;
    at += count;
  }
  close(file);
  return to_js(env, copies);
}

}  // namespace eagleray
