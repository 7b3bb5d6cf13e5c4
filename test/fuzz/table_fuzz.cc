// SPDX-License-Identifier: Apache-2.0
// Any bytes in a live segment's table, chains, allocator and block records: every operation answers, and check() says what is wrong
// or that nothing is. The input: changes, each of one structure, and operations between them.
#include "allocator.h"
#include "store_fuzz.h"

namespace {

using namespace eagleray;
using namespace eagleray::fuzz;

class World {
 public:
  World() {
    connect_store_to_channels();
    Result<std::shared_ptr<Client>> client = Client::create(scratch_directory() + "/store", {kHeap, kMinTableCapacity, NodeId{7}}, false);
    if (!client.ok()) std::abort();
    store_ = std::make_unique<Store>(client.value());
    furnish(*store_);
    std::memcpy(&mutex_, &segment().channels().header().lock, sizeof mutex_);
    saved_.assign(segment().shared_base(), segment().shared_base() + segment().layout().channels);
  }

  Store& store() { return *store_; }
  Segment& segment() { return store_->client()->segment(); }

  void reset() {
    std::memcpy(segment().shared_base(), saved_.data(), saved_.size());
    for (uint32_t entry = 0; entry < kMinTableCapacity; entry++) store_->client()->pins().count(entry) = {};
  }

  void change(Input& input) {
    Segment& segment = this->segment();
    const auto at = [](auto& first) { return reinterpret_cast<std::byte*>(&first); };
    switch (input.take<uint8_t>() % 8) {
      case 0: input.change(at(segment.table()), sizeof(TableState)); break;
      case 1: input.change(at(segment.bucket(0)), kMinTableCapacity * sizeof(BucketHead)); break;
      case 2: case 3: input.change(at(segment.entry(0)), 16 * sizeof(ObjectEntry)); break;
      case 4: input.change(at(segment.allocator()), sizeof(AllocatorState)); break;
      case 5: case 6: input.change(at(segment.block(0)), 40 * sizeof(BlockRecord)); break;
      default: input.change(at(segment.client(1)), 3 * sizeof(ClientRecord)); break;
    }
    // As after the death of a holder of the lock: all of it is built anew from the entries.
    if (input.take<uint8_t>() % 8 == 0) segment.header().rebuild.fetch_or(1);
    let_go(segment, mutex_);
  }

 private:
  std::unique_ptr<Store> store_;
  std::vector<std::byte> saved_;
  pthread_mutex_t mutex_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World* const world = new World;  // it detaches from nothing at the end
  world->reset();
  Input input(data, size);
  for (int round = 0; round < 3 && !input.empty(); round++) {
    for (int changes = input.take<uint8_t>() % 4 + 1; changes > 0; changes--) world->change(input);
    operate(world->store(), input);
  }
  return 0;
}
