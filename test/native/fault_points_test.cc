// SPDX-License-Identifier: Apache-2.0
// A process killed at each named place in turn. The list of places is that of the sources, and each is reached by one of the
// scenarios below: a place that none reaches fails its test, since then nobody is killed there.
#include <poll.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string_view>

#include "fault_fixture.h"
#include "port.h"
#include "process.h"
#include "store_channels.h"

namespace eagleray {
namespace {

using Places = std::vector<std::string_view>;

bool is_of(std::string_view place, const Places& operations) {
  return std::find(operations.begin(), operations.end(), place.substr(0, place.find('.'))) != operations.end();
}

// The places of these operations, but for some.
Places places_of(const Places& operations, const Places& but = {}) {
  Places places;
  for (const char* place : kFaultPoints) {
    if (is_of(place, operations) && std::find(but.begin(), but.end(), place) == but.end()) places.push_back(place);
  }
  return places;
}

const Places kObjects = {"attach", "lock", "bin", "allocate", "create", "put", "abort", "seal", "view", "read", "release", "delete",
                         "remove", "free", "expect", "bells", "reap"};
// Of these, what needs more than one process, or one that died.
const Places kNotAlone = {"lock.waiting", "lock.took_over", "allocate.chunk", "free.chunk", "bells.taken", "reap.unpinned", "reap.channels"};
const Places kChannels = {"sleep", "wake", "attend", "port", "channel", "ring"};
const Places kChunks = {"allocate.chunk", "free.chunk"};
const Places kRebuild = {"rebuild", "lock.took_over"};

// A chunk for small objects is made, and given up for a large one.
void use_chunks(Store& store) {
  for (uint64_t n = 0; n < 2; n++) {
    for (uint64_t i = 0; i < 40; i++) (void)put(store, id_of(100 + i, 2), 4000);
    for (uint64_t i = 0; i < 40; i++) (void)store.remove(id_of(100 + i, 2));
    (void)store.create(id_of(200, 2), 8 << 20);
    (void)store.abort(id_of(200, 2));
  }
}

// Connects, sends and receives, and sleeps between; tells the one in slot 0 from time to time that there is something to take.
void use_channels(Store& store) {
  SegmentHost host(store.client()->segment());
  Port port(store.client()->segment().channels(), store.client()->bells(), host, peer_of(store.client()->worker_id()));
  if (!port.open(store.client()->directory()).ok()) return;
  ClientInfo info;
  if (!client_info(store.client()->segment(), 0, &info)) return;
  std::vector<std::byte> inbox(kPacketBytesMax);
  int32_t index[30];
  for (int turn = 0; turn < 6; turn++) {
    const Result<uint32_t> channel = port.connect(peer_of(info.worker_id));
    if (!channel.ok()) return;
    (void)port.prepare_sleep();
    port.awake();
    (void)port.send(channel.value(), "ping", 4);
    uint32_t got = 0;
    while (got == 0) {
      port.look();
      got = port.drain(inbox.data(), kPacketBytesMax, index, 30);
      if (got == 0 && port.prepare_sleep()) {
        pollfd entry{port.bell().fd(), POLLIN, 0};
        (void)poll(&entry, 1, -1);
        port.bell().drain();
        port.awake();
      }
    }
    if (turn % 2 == 0) (void)port.disconnect(channel.value());
  }
}

class FaultPointsTest : public FaultTest {
 protected:
  static void SetUpTestSuite() { connect_store_to_channels(); }

  // Kills a process at the first, second and fifth passage of each place; it must meet each twice unless `once`.
  template <typename Body>
  void kill_at(const Places& places, Body body, bool once = false) {
    Store store = make(kHeap, 1024);
    for (const std::string_view place : places) {
      for (const int nth : {1, 2, 5}) {
        put_lasting(store);
        const int ended = wait_for(killed_child(place.data(), nth, body));
        if (nth <= (once ? 1 : 2)) {
          ASSERT_EQ(ended, -SIGKILL) << place << " is not reached, passage " << nth;
        }
        (void)store.reap_dead();
        expect_whole(store);
        if (HasFatalFailure()) FAIL() << "killed at passage " << nth << " of " << place;
      }
    }
  }

  // Answers every packet until the child has ended; asleep between, as far as the others can tell.
  static int serve(Store& store, Port& port, pid_t child) {
    std::vector<std::byte> inbox(kPacketBytesMax);
    int32_t index[30];
    int status = 0;
    pid_t ended = 0;
    while (ended == 0) {
      ended = waitpid(child, &status, WNOHANG);
      port.look();
      (void)port.take_sealed();  // set by every reaper; pending until taken
      const uint32_t count = port.drain(inbox.data(), kPacketBytesMax, index, 30);
      for (uint32_t i = 0; i < count; i++) (void)port.send(static_cast<uint32_t>(index[3 * i]), "pong", 4);
      PortEvent event;
      while (port.next_event(&event)) {
        if (event.kind == PortEvent::Kind::kClosed || event.kind == PortEvent::Kind::kDied) (void)port.disconnect(event.channel);
      }
      if (ended == 0 && port.prepare_sleep()) {
        pollfd entry{port.bell().fd(), POLLIN, 0};
        (void)poll(&entry, 1, 1);
        port.bell().drain();
        port.awake();
      }
    }
    (void)store.reap_dead();
    // What the reaper told us of: the ends of what was still open.
    port.look();
    (void)port.drain(inbox.data(), kPacketBytesMax, index, 30);
    PortEvent event;
    while (port.next_event(&event)) (void)port.disconnect(event.channel);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
};

TEST_F(FaultPointsTest, TheListIsThatOfTheSources) {
  std::set<std::string> named;
  for (const auto& file : std::filesystem::directory_iterator(std::string(EAGLERAY_SOURCE_DIR) + "/native")) {
    if (file.path().extension() != ".cc") continue;
    std::ifstream stream(file.path());
    const std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    const std::string call = "EAGLERAY_FAULT(\"";
    for (size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
      const size_t begin = at + call.size();
      named.insert(text.substr(begin, text.find('"', begin) - begin));
    }
  }
  EXPECT_EQ(named, std::set<std::string>(std::begin(kFaultPoints), std::end(kFaultPoints)));
}

TEST_F(FaultPointsTest, EveryPlaceHasAScenario) {
  Places known = {"make.directory", "make.filled", "make.named", "back.reserved", "lock.waiting"};
  const auto add = [&known](const Places& places) { known.insert(known.end(), places.begin(), places.end()); };
  add(places_of(kObjects));
  add(places_of(kChannels));
  add(places_of({"rebuild"}));
  add(places_of({"spill", "evict", "restore", "disk", "secondary"}));  // fault_spill_test.cc
  for (const char* place : kFaultPoints) EXPECT_NE(std::find(known.begin(), known.end(), place), known.end()) << place;
}

TEST_F(FaultPointsTest, KilledWhileItUsesObjects) {
  Places places = places_of(kObjects, kNotAlone);
  // Once a life, the second passage never comes.
  const Places once = places_of({"attach", "reap"}, {"reap.unpinned", "reap.channels"});
  std::erase_if(places, [&once](std::string_view place) { return std::find(once.begin(), once.end(), place) != once.end(); });
  kill_at(places, use);
}

TEST_F(FaultPointsTest, KilledWhileItAttachesOrDetaches) {
  kill_at(places_of({"attach", "reap"}, {"reap.unpinned"}), use, true);
  // A detaching process still holds what it never released.
  std::filesystem::remove_all(path());
  kill_at({"reap.unpinned"}, [](Store& store) { (void)store.view(id_of(3, 1)); (void)store.view(id_of(4, 1)); });
}

TEST_F(FaultPointsTest, KilledWhileItMakesAndGivesUpChunks) {
  Store store = make(kHeap, 1024);
  for (const std::string_view place : kChunks) {
    for (const int nth : {1, 2}) {
      ASSERT_EQ(wait_for(killed_child(place.data(), nth, use_chunks)), -SIGKILL) << place;
      (void)store.reap_dead();
      expect_whole(store, false);
    }
  }
}

TEST_F(FaultPointsTest, KilledBetweenTheMarksAndTheBells) {
  Store store = make(kHeap, 1024);
  SegmentHost host(store.client()->segment());
  Port port(store.client()->segment().channels(), store.client()->bells(), host, peer_of(store.client()->worker_id()));
  ASSERT_TRUE(port.open(store.client()->directory()).ok());
  // At the first the child has taken our mark, at the second our sleep as well, and it rings nobody after. Only the reaper can.
  for (const char* place : {"seal.sealed", "bells.taken", "wake.taken"}) {
    port.look();
    (void)port.take_sealed();
    store.expect(id_of(0, 2));
    ASSERT_TRUE(port.prepare_sleep());
    ASSERT_EQ(wait_for(killed_child(place, 1, use)), -SIGKILL) << place;
    pollfd entry{port.bell().fd(), POLLIN, 0};
    EXPECT_EQ(poll(&entry, 1, 0), 0) << place;
    ASSERT_EQ(store.reap_dead().value().size(), 1u);
    EXPECT_EQ(poll(&entry, 1, 0), 1) << "asleep for good after a death at " << place;
    port.bell().drain();
    port.awake();
    EXPECT_TRUE(port.take_sealed()) << place;
    EXPECT_TRUE(store.contains(id_of(0, 2)));
    expect_whole(store, false);
  }
}

TEST_F(FaultPointsTest, KilledWhileItUsesChannels) {
  Store store = make(kHeap, 1024);
  SegmentHost host(store.client()->segment());
  Port port(store.client()->segment().channels(), store.client()->bells(), host, peer_of(store.client()->worker_id()));
  ASSERT_TRUE(port.open(store.client()->directory()).ok());
  for (const std::string_view place : places_of(kChannels, {"channel.repaired", "channel.closed"})) {
    // The body of a channel is reserved once, and a bell is made once a slot.
    const bool once = place == "channel.backed" || place == "port.made_bell";
    for (const int nth : {1, 2}) {
      if (once && nth == 2) continue;
      if (place == "channel.backed") store.client()->segment().channels().record(0).backed = 0;
      const int ended = serve(store, port, killed_child(place.data(), nth, use_channels));
      ASSERT_EQ(ended, -SIGKILL) << place << " is not reached, passage " << nth;
      put_lasting(store);
      expect_whole(store);
      if (HasFatalFailure()) FAIL() << "killed at passage " << nth << " of " << place;
    }
  }
}

TEST_F(FaultPointsTest, KilledWhileItEndsTheChannelsOfAnother) {
  Store store = make(kHeap, 1024);
  for (const char* place : {"channel.closed", "attend.marked", "attend.counted"}) {
    ASSERT_EQ(wait_for(killed_child("channel.open", 1, use_channels)), -SIGKILL);
    ASSERT_EQ(wait_for(killed_child(place, 1, [](Store& theirs) { (void)theirs.reap_dead(); })), -SIGKILL) << place;
    EXPECT_EQ(store.reap_dead().value(), (std::vector<uint32_t>{1, 2})) << place;
    // Our side of it is open until we leave.
    EXPECT_EQ(store.stats().value().channels, 1u);
    ASSERT_TRUE(close_channels_of(store.client()->segment().channels(), store.client()->bells(), peer_of(store.client()->worker_id()), false).ok());
    expect_whole(store, false);
  }
}

TEST_F(FaultPointsTest, KilledWhileItRepairsTheChannelTable) {
  Store store = make(kHeap, 1024);
  ASSERT_EQ(wait_for(killed_child("channel.opening", 1, use_channels)), -SIGKILL);
  ASSERT_EQ(wait_for(killed_child("channel.repaired", 1, use_channels)), -SIGKILL);
  EXPECT_EQ(store.reap_dead().value(), (std::vector<uint32_t>{1, 2}));
  expect_whole(store, false);
}

TEST_F(FaultPointsTest, KilledWhileItTakesTheLockOverAndRebuilds) {
  Store store = make(kHeap, 1024);
  for (const std::string_view place : places_of({"rebuild", "lock"}, {"lock.waiting"})) {
    put_lasting(store);
    // The first dies holding the lock, the second while it repairs what the first left, which leaves it to the third.
    ASSERT_EQ(wait_for(killed_child("allocate.split", 2, use)), -SIGKILL);
    ASSERT_EQ(wait_for(killed_child(place.data(), 1, use)), -SIGKILL) << place;
    EXPECT_EQ(store.reap_dead().value(), (std::vector<uint32_t>{1, 2})) << place;
    expect_whole(store);
    if (HasFatalFailure()) FAIL() << place;
  }
}

TEST_F(FaultPointsTest, KilledWhileItReapsAnother) {
  Store store = make(kHeap, 1024);
  for (const std::string_view place : places_of({"reap", "remove", "free"}, {"free.chunk", "free.merged"})) {
    put_lasting(store);
    // The first dies with an object half made and a pin; the second while it gives back what the first held.
    ASSERT_EQ(wait_for(killed_child("create.unlocked", 2, [](Store& theirs) {
                (void)theirs.view(id_of(3, 1));
                use(theirs);
              })),
              -SIGKILL);
    ASSERT_EQ(wait_for(killed_child(place.data(), 1, [](Store& theirs) { (void)theirs.reap_dead(); })), -SIGKILL) << place;
    (void)store.reap_dead();
    expect_whole(store);
    if (HasFatalFailure()) FAIL() << place;
  }
}

TEST_F(FaultPointsTest, KilledWhileItWaitsForTheLock) {
  Store store = make(kHeap, 1024);
  put_lasting(store);
  const uint32_t ours = 1 | store.client()->generation() << 10;  // we hold it, as the layout says
  store.client()->segment().header().lock = ours;
  EXPECT_EQ(wait_for(killed_child("lock.waiting", 1, use)), -SIGKILL);
  EXPECT_EQ(store.client()->segment().header().lock.load(), ours | 1u << 31);
  store.client()->segment().header().lock = 0;
  EXPECT_EQ(store.reap_dead().value().size(), 1u);
  expect_whole(store);
}

TEST_F(FaultPointsTest, KilledWhileItMakesTheSegment) {
  for (const char* place : {"make.directory", "make.filled", "make.named"}) {
    std::filesystem::remove_all(path());
    const pid_t child = in_child([&, this] {
      select_fault(place);
      (void)make(kHeap, 1024);
      return 0;
    });
    ASSERT_EQ(wait_for(child), -SIGKILL) << place;
    Result<std::shared_ptr<Client>> attached = Client::attach(path());
    // Nothing that could be taken for a segment, or a whole one. Its maker had not attached.
    ASSERT_EQ(attached.ok(), std::string_view(place) == "make.named") << place;
    if (!attached.ok()) continue;
    Store store(attached.value());
    expect_whole(store, false);
  }
}

TEST_F(FaultPointsTest, KilledWhileItReservesTheFirstMemory) {
  for (const int nth : {1, 2, 3}) {
    std::filesystem::remove_all(path());
    Store store = make(kHeap, 1024);
    // Block records when the segment is made; an entry and heap when the first object is.
    const int ended = wait_for(killed_child("back.reserved", nth, use));
    if (nth <= 2) {
      ASSERT_EQ(ended, -SIGKILL) << nth;
    }
    (void)store.reap_dead();
    expect_whole(store, false);
  }
}

}  // namespace
}  // namespace eagleray
