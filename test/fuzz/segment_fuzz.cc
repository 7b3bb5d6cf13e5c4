// SPDX-License-Identifier: Apache-2.0
// Any bytes in a segment file: opening it is an error or gives a store on which every operation answers.
//
// The input: whether the checksum is made to fit, so that what lies behind it is reached; how long the file is; changes of the
// header and the client records; operations.
#include <fcntl.h>
#include <sys/stat.h>

#include "store_fuzz.h"

namespace {

using namespace eagleray;
using namespace eagleray::fuzz;

// The pristine file's control structures, to begin from.
struct Pristine {
  std::string directory = scratch_directory() + "/store";
  std::string path = directory + "/segment";
  std::vector<std::byte> control;
  Layout layout{};
  pthread_mutex_t mutex{};
  int file = -1;

  Pristine() {
    connect_store_to_channels();
    Result<std::shared_ptr<Client>> client = Client::create(directory, {kHeap, kMinTableCapacity, NodeId{7}}, false);
    if (!client.ok()) std::abort();
    Store store(client.value());
    furnish(store);
    layout = store.client()->segment().layout();
    std::memcpy(&mutex, &store.client()->segment().channels().header().lock, sizeof mutex);
    control.resize(layout.channels);
    std::memcpy(control.data(), store.client()->segment().shared_base(), control.size());
    // As if its maker had been killed: attached, and holding an object that it never sealed.
    file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  }
  void reset() const {
    if (ftruncate(file, static_cast<off_t>(layout.file_bytes)) != 0) std::abort();
    if (pwrite(file, control.data(), control.size(), 0) != static_cast<ssize_t>(control.size())) std::abort();
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Pristine pristine;
  pristine.reset();
  Input input(data, size);
  const uint8_t flags = input.take<uint8_t>();
  std::vector<std::byte> head(pristine.control.begin(), pristine.control.begin() + static_cast<ptrdiff_t>(pristine.layout.waiters));
  for (int changes = input.take<uint8_t>() % 8; changes > 0; changes--) {
    const bool in_header = input.take<uint8_t>() % 2 == 0;
    // Of the header, what is used.
    input.change(in_header ? head.data() : head.data() + pristine.layout.clients, in_header ? 320 : 4 * sizeof(ClientRecord));
  }
  auto& header = *reinterpret_cast<SegmentHeader*>(head.data());
  if ((flags & 1) != 0) header.checksum = header_checksum(header);
  if (pwrite(pristine.file, head.data(), head.size(), 0) != static_cast<ssize_t>(head.size())) std::abort();
  if ((flags & 6) == 6 && ftruncate(pristine.file, input.take<uint32_t>() % 2'000'000) != 0) std::abort();

  Result<std::unique_ptr<Segment>> segment = Segment::open(pristine.directory);
  if (!segment.ok()) return 0;
  let_go(*segment.value(), pristine.mutex);
  Result<std::shared_ptr<Client>> client = Client::attach(pristine.directory);
  if (!client.ok()) return 0;
  Store store(client.value());
  operate(store, input);
  return 0;
}
