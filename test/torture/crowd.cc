// SPDX-License-Identifier: Apache-2.0
#include "crowd.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "port.h"
#include "spill_thread.h"
#include "store_channels.h"

namespace eagleray::torture {
namespace {

uint64_t word_of(const ObjectId& id, uint64_t size, uint64_t at) { return (hash_object_id(id) ^ size * 0x9e3779b97f4a7c15ULL) + at; }

constexpr uint64_t kSizes[] = {0, 8, 300, 3000, 4096, 5000, 70'000, 200'000};

class Member {
 public:
  Member(std::shared_ptr<Client> client, Notes& notes, uint32_t place, uint64_t life, uint64_t seed, bool spills)
      : store_(client),
        host_(client->segment()),
        port_(client->segment().channels(), client->bells(), host_, peer_of(client->worker_id())),
        notes_(notes),
        place_(place),
        life_(life),
        spills_(spills),
        random_(seed),
        inbox_(kPacketBytesMax),
        scratch_(200'000) {}

  int run() {
    if (!port_.open(store_.client()->directory()).ok()) return wrong("the bell cannot be opened");
    while (code_ == 0) {
      step();
      notes_.steps[place_].fetch_add(1, std::memory_order_relaxed);
    }
    return code_;
  }

 private:
  int wrong(const char* what) {
    std::fprintf(stderr, "life %llu: %s\n", static_cast<unsigned long long>(life_), what);
    code_ = 1;
    return 1;
  }

  void step() {
    const ObjectId common = id_of(0, static_cast<uint32_t>(random_() % kCommonObjects));
    switch (random_() % 12) {
      case 0: case 1: put_own(); break;
      case 2: put_common(common); break;
      case 3: case 4: view(common); break;
      case 5: release_one(); break;
      case 6: (void)store_.remove(common); break;
      case 7: remove_own(); break;
      case 8: part_of_one(); break;
      case 9: read(common); break;
      case 10: abort_one(common); break;
      default: talk(); break;
    }
  }

  void put_own() {
    const uint32_t n = static_cast<uint32_t>(random_() % kOwnObjects);
    if (notes_.own[place_][n].load() != Note::kNothing) return;
    const ObjectId id = id_of(life_, n);
    const uint64_t size = kSizes[random_() % std::size(kSizes)];
    notes_.sizes[place_][n] = size;
    notes_.own[place_][n] = Note::kPutting;
    const Status status = put(id, size);
    if (!status.ok() && status.code() != Code::kStoreFull) wrong(status.describe().c_str());
    notes_.own[place_][n] = status.ok() ? Note::kSealed : Note::kNothing;
  }

  void remove_own() {
    const uint32_t n = static_cast<uint32_t>(random_() % kOwnObjects);
    if (notes_.own[place_][n].load() != Note::kSealed) return;
    notes_.own[place_][n] = Note::kRemoving;
    const Result<bool> removed = store_.remove(id_of(life_, n));
    if (!removed.ok() || !removed.value()) wrong("an object of its own is not there to be deleted");
    notes_.own[place_][n] = Note::kNothing;
  }

  void put_common(const ObjectId& id) {
    const Status status = put(id, kSizes[random_() % std::size(kSizes)]);
    if (!status.ok() && status.code() != Code::kStoreFull && status.code() != Code::kObjectExists) wrong(status.describe().c_str());
  }

  // By put, by put_parts or by create and seal.
  Status put(const ObjectId& id, uint64_t size) {
    const uint64_t way = random_() % 3;
    if (way == 0) {
      const Result<std::byte*> made = store_.create(id, size);
      if (!made.ok()) return made.status();
      fill(made.value(), id, size);
      return store_.seal(id);
    }
    fill(scratch_.data(), id, size);
    if (way == 1 || size < 16) return store_.put(id, scratch_.data(), size);
    const PutPart parts[] = {{scratch_.data(), size / 2, 0}, {scratch_.data() + size / 2, size - size / 2, size / 2}};
    return store_.put_parts(id, size, parts);
  }

  void view(const ObjectId& id) {
    Result<View> view = store_.view(id);
    if (!view.ok()) {
      if (view.code() != Code::kObjectNotFound) wrong(view.status().describe().c_str());
      return;
    }
    if (!is_filled(view.value().data, id, view.value().size)) wrong("a view shows other bytes");
    held_.push_back({view.value(), id, 0, view.value().size});
    // What is written into a view is nobody else's business, and gone with this process's last pin of the object.
    const auto same = [&view](const Held& held) { return held.view.entry == view.value().entry; };
    const bool alone = std::count_if(held_.begin(), held_.end(), same) == 1;
    if (alone && !view.value().is_copy && random_() % 4 == 0) {
      std::memset(const_cast<std::byte*>(view.value().data), 0xEE, view.value().size);
      store_.release(view.value());
      held_.pop_back();
    }
    if (held_.size() > 16) release_one();
  }

  void part_of_one() {
    if (held_.empty()) return;
    const Held whole = held_[random_() % held_.size()];
    if (whole.offset != 0 || whole.view.size < 16) return;
    const uint64_t half = whole.view.size / 2 & ~uint64_t{7};
    const Result<View> part = store_.part(whole.view, half, whole.view.size - half);
    if (!part.ok()) return void(wrong(part.status().describe().c_str()));
    held_.push_back({part.value(), whole.id, half, whole.size});
  }

  void release_one() {
    if (held_.empty()) return;
    const size_t n = random_() % held_.size();
    store_.release(held_[n].view);
    held_.erase(held_.begin() + static_cast<ptrdiff_t>(n));
  }

  void read(const ObjectId& id) {
    const Result<uint64_t> size = store_.read(id, scratch_.data(), scratch_.size());
    if (!size.ok()) {
      const bool is_on_disk = spills_ && size.code() == Code::kSpilled;
      if (size.code() != Code::kObjectNotFound && !is_on_disk) wrong(size.status().describe().c_str());
    } else if (!is_filled(scratch_.data(), id, size.value())) {
      wrong("other bytes were read");
    }
  }

  void abort_one(const ObjectId& id) {
    if (store_.create(id, 2000).ok() && !store_.abort(id).ok()) wrong("what it makes cannot be aborted");
  }

  // A packet to somebody, and a look at what came; from time to time the announcement of a sleep, and waiting for an object.
  void talk() {
    for (const ClientInfo& client : store_.clients()) {
      // The outsider in slot 0 has no port.
      if (client.slot == 0 || client.slot == store_.client()->slot() || random_() % 2 == 0) continue;
      const Result<uint32_t> channel = port_.connect(peer_of(client.worker_id));
      if (!channel.ok()) continue;
      uint64_t words[32];
      const size_t count = 1 + random_() % std::size(words);
      for (size_t i = 0; i < count; i++) words[i] = count * 1000 + i;
      (void)port_.send(channel.value(), words, static_cast<uint32_t>(8 * count));
      if (random_() % 8 == 0) (void)port_.disconnect(channel.value());
    }
    store_.expect(id_of(0, static_cast<uint32_t>(random_() % kCommonObjects)));
    listen();
    if (port_.prepare_sleep()) port_.awake();
    port_.bell().drain();
  }

  void listen() {
    port_.look();
    (void)port_.take_sealed();
    int32_t index[96];
    const uint32_t packets = port_.drain(inbox_.data(), kPacketBytesMax, index, 96);
    for (uint32_t i = 0; i < packets; i++) {
      const auto count = static_cast<uint64_t>(index[3 * i + 2]) / 8;
      for (uint64_t w = 0; w < count; w++) {
        uint64_t word = 0;
        std::memcpy(&word, inbox_.data() + index[3 * i + 1] + 8 * w, 8);
        if (word != count * 1000 + w) return void(wrong("a packet is torn"));
      }
    }
    PortEvent event;
    while (port_.next_event(&event)) {
      if (event.kind == PortEvent::Kind::kCorrupt) wrong("a channel is corrupt");
      if (event.kind != PortEvent::Kind::kOpened && event.kind != PortEvent::Kind::kWritable) (void)port_.disconnect(event.channel);
    }
  }

  struct Held {
    View view;
    ObjectId id;
    uint64_t offset;
    uint64_t size;
  };

  Store store_;
  SegmentHost host_;
  Port port_;
  Notes& notes_;
  const uint32_t place_;
  const uint64_t life_;
  const bool spills_;
  std::mt19937_64 random_;
  std::vector<std::byte> inbox_;
  std::vector<std::byte> scratch_;
  std::vector<Held> held_;
  int code_ = 0;
};

}  // namespace

ObjectId id_of(uint64_t life, uint32_t n) {
  ObjectId id{};
  std::memcpy(id.data(), &life, 8);
  std::memcpy(id.data() + 16, &n, 4);
  return id;
}

void fill(std::byte* bytes, const ObjectId& id, uint64_t size) {
  uint64_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const uint64_t word = word_of(id, size, at);
    std::memcpy(bytes + at, &word, 8);
  }
  for (; at < size; at++) bytes[at] = std::byte{7};
}

bool is_filled(const std::byte* bytes, const ObjectId& id, uint64_t size) {
  uint64_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + at, 8);
    if (word != word_of(id, size, at)) return false;
  }
  for (; at < size; at++) {
    if (bytes[at] != std::byte{7}) return false;
  }
  return true;
}

int misbehave(const std::string& directory, Notes& notes, uint32_t place, uint64_t life, uint64_t seed, bool spills) {
  const Result<std::shared_ptr<Client>> client = Client::attach(directory);
  if (!client.ok()) {
    std::fprintf(stderr, "%s\n", client.status().describe().c_str());
    return 1;
  }
  std::optional<SpillThread> thread;
  if (spills && place == 0) thread.emplace(client.value());
  return Member(client.value(), notes, place, life, seed, spills).run();
}

}  // namespace eagleray::torture
