// SPDX-License-Identifier: Apache-2.0
// What two processes say to each other under every order of their steps: packets in a ring and the notice of room, the flag of a
// sleeper and its bell, the claim of a task.
#include "channel.h"
#include "port.h"
#include "ring.h"
#include "world.h"

namespace eagleray::model {
namespace {

// --- The ring: positions, and the producer's wish to hear of room.

struct Ring {
  RingControl control{};
  std::vector<std::byte> bytes = std::vector<std::byte>(kRingBytes);
  RingWriter writer{control, bytes.data()};
  RingReader reader{control, bytes.data()};
};

// A ring near its end, so that packets wrap, with `backlog` bytes in it.
void advance(Ring& ring, uint32_t backlog) {
  std::vector<std::byte> packet(kPacketBytesMax);
  uint32_t length = 0;
  for (uint32_t at = 0; at < kRingBytes - 16;) {
    const uint32_t next = std::min<uint32_t>(kPacketBytesMax, kRingBytes - 16 - at - kPacketHeaderBytes);
    if (ring.writer.write(packet.data(), next) != RingResult::kOk) std::abort();
    if (ring.reader.read(packet.data(), kPacketBytesMax, &length) != RingResult::kOk) std::abort();
    (void)ring.reader.release_room();
    at += static_cast<uint32_t>(packet_span(next));
  }
  while (backlog > 0) {
    const uint32_t next = std::min(backlog, kPacketBytesMax);
    if (ring.writer.write(packet.data(), next) != RingResult::kOk) std::abort();
    backlog -= next;
  }
}

struct RingRun {
  Ring ring;
  RingWriter writer = ring.writer;
  RingReader reader = ring.reader;
  uint64_t tail = 0, head = 0;
  uint32_t backlog_packets = 0;
  bool told = false;
  std::vector<std::byte> target = std::vector<std::byte>(kPacketBytesMax);
};

void produce(RingRun& run, uint32_t packets) {
  for (uint32_t i = 0; i < packets; i++) {
    const uint64_t words[2] = {i + 1, ~uint64_t{i}};
    while (true) {
      RingResult result = run.ring.writer.write(words, sizeof words);
      if (result == RingResult::kFull) {
        run.ring.writer.wait_for_room();
        result = run.ring.writer.write(words, sizeof words);
        if (result == RingResult::kOk) run.ring.writer.stop_waiting();
      }
      if (result == RingResult::kOk) break;
      if (result != RingResult::kFull) return fail("the producer finds the ring corrupt");
      wait_until([&run] { return run.told; });
      run.told = false;
    }
  }
}

void consume(RingRun& run, uint32_t packets) {
  for (uint32_t i = 0; i < packets + run.backlog_packets;) {
    uint32_t length = 0;
    const RingResult result = run.ring.reader.read(run.target.data(), kPacketBytesMax, &length);
    if (result == RingResult::kOk && i >= run.backlog_packets) {
      uint64_t words[2] = {};
      std::memcpy(words, run.target.data(), sizeof words);
      const uint64_t expected = i - run.backlog_packets;
      if (length != sizeof words || words[0] != expected + 1 || words[1] != ~expected) return fail("a packet is torn or out of order");
    }
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    if (result == RingResult::kOk && i < run.backlog_packets && !std::all_of(run.target.begin(), run.target.begin() + 256, is_zero)) {
      return fail("a packet was overwritten before it was copied out");
    }
    if (result == RingResult::kOk) {
      i++;
      if (run.ring.reader.release_room()) run.told = true;
    } else if (result != RingResult::kEmpty) {
      return fail("the consumer finds the ring corrupt");
    } else {
      wait_until([&run] { return run.ring.reader.ready(); });
    }
  }
}

Program ring_program(RingRun& run, uint32_t packets, uint32_t backlog) {
  advance(run.ring, backlog);
  run.writer = run.ring.writer;
  run.reader = run.ring.reader;
  run.tail = run.ring.control.tail.load();
  run.head = run.ring.control.head.load();
  run.backlog_packets = (backlog + kPacketBytesMax - 1) / kPacketBytesMax;
  const uint32_t old = static_cast<uint32_t>(run.tail & (kRingBytes - 1));
  const uint32_t free = static_cast<uint32_t>(std::min<uint64_t>(128, kRingBytes - (run.tail - run.head)));
  std::vector<std::byte> there;
  for (uint32_t i = 0; i < 128; i++) there.push_back(run.ring.bytes[(old + i) & (kRingBytes - 1)]);
  Program program;
  program.reset = [&run, old, free, there] {
    run.ring.writer = run.writer;
    run.ring.reader = run.reader;
    run.ring.control.tail.store(run.tail);
    run.ring.control.head.store(run.head);
    run.ring.control.writer_waiting.store(0);
    // Where the new packets will lie there is rubbish, so that reading before writing is found out.
    for (uint32_t i = 0; i < 128; i++) run.ring.bytes[(old + i) & (kRingBytes - 1)] = i < free ? std::byte{0xEE} : there[i];
    run.told = false;
  };
  program.threads = {[&run, packets] { produce(run, packets); }, [&run, packets] { consume(run, packets); }};
  program.check = [] { return std::string(); };
  return program;
}

// --- The sleeper.

class Sleeper {
 public:
  Sleeper() : world_(3) {
    region_ = std::make_unique<ChannelRegion>(world_.segment().channels());
    bells_ = std::make_unique<Bells>(*region_, world_.segment().directory());
    if (!bell_.open(world_.segment().directory(), 0).ok()) std::abort();
  }

  // One process sleeps until it has seen everything that `publishers` others publish; `more` runs beside them.
  Program program(int publishers, std::function<void()> more = nullptr) {
    Program program;
    program.reset = [this] {
      Mailbox& mailbox = region_->mailbox(0);
      mailbox.sleeping.store(0);
      mailbox.sealed.store(0);
      published_ = 0;
      bell_.drain();
      port_ = std::make_unique<Port>(*region_, *bells_, host_, Peer{0, 1});
      port_->look();
    };
    program.threads.push_back([this, publishers] { sleep_until(publishers); });
    for (int i = 0; i < publishers; i++) {
      program.threads.push_back([this] {
        published_.fetch_add(1);
        bells_->wake_sealed(0);
      });
    }
    if (more) program.threads.push_back(more);
    program.check = [] { return std::string(); };
    program.watched = {{&region_->mailbox(0), 64}, {&published_, 4}};
    return program;
  }

  Bells& bells() { return *bells_; }

 private:
  class NoHost final : public ChannelHost {
   public:
    bool is_live(const Peer&) override { return true; }
    Status reserve(uint64_t, uint64_t) override { return Status(); }
  };

  void sleep_until(int publishers) {
    const auto all_seen = [&] { return published_.load() == static_cast<uint32_t>(publishers) || (is_dead(1) && !publishing()); };
    while (!all_seen()) {
      (void)port_->take_sealed();
      if (all_seen()) return;
      if (!port_->prepare_sleep()) continue;
      wait_until([this] { return rang(); });
      bell_.drain();
      port_->awake();
    }
  }
  // Whether the one who died had published: then it must be seen.
  bool publishing() { return published_.load() != 0; }
  bool rang() {
    pollfd entry{bell_.fd(), POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
  }

  World world_;
  std::unique_ptr<ChannelRegion> region_;
  std::unique_ptr<Bells> bells_;
  Bell bell_;
  NoHost host_;
  std::unique_ptr<Port> port_;
  std::atomic<uint32_t> published_{0};
};

// --- The claim of a task (a model of steps: the words are JavaScript's).
//
// lib/run/dispatch.ts writes `queued` and sends the task, and may take it back by exchanging queued for revoked; lib/run/executor.ts
// exchanges queued for claimed and runs it, or finds it revoked, writes `free` and answers. The word is used again after the answer.

struct ClaimRun {
  enum Word : int32_t { kFree, kQueued, kClaimed, kRevoked };
  std::atomic<int32_t> word{kFree};
  std::atomic<uint32_t> sent{0}, answered{0};
  int ran[2] = {}, revoked[2] = {};
};

Program claim_program(ClaimRun& run, bool answers_first) {
  Program program;
  program.reset = [&run] {
    run.word.store(ClaimRun::kFree);
    run.sent.store(0);
    run.answered.store(0);
    for (int i = 0; i < 2; i++) run.ran[i] = run.revoked[i] = 0;
  };
  program.threads = {[&run] {
                       for (uint32_t task = 0; task < 2; task++) {
                         run.word.store(ClaimRun::kQueued);
                         run.sent.store(task + 1, std::memory_order_release);
                         int32_t expected = ClaimRun::kQueued;
                         run.revoked[task] = run.word.compare_exchange_strong(expected, ClaimRun::kRevoked) ? 1 : 0;
                         wait_until([&run, task] { return run.answered.load() == task + 1; });
                       }
                     },
                     [&run, answers_first] {
                       for (uint32_t task = 0; task < 2; task++) {
                         wait_until([&run, task] { return run.sent.load() > task; });
                         int32_t expected = ClaimRun::kQueued;
                         if (run.word.compare_exchange_strong(expected, ClaimRun::kClaimed)) {
                           run.ran[task] = 1;
                         } else if (answers_first) {
                           run.answered.store(task + 1);
                           run.word.store(ClaimRun::kFree);
                           continue;
                         } else {
                           run.word.store(ClaimRun::kFree);
                         }
                         run.answered.store(task + 1);
                       }
                     }};
  program.check = [&run]() -> std::string {
    for (int i = 0; i < 2; i++) {
      if (run.ran[i] + run.revoked[i] != 1) return "a task was both run and taken back, or neither";
    }
    return "";
  };
  return program;
}

TEST(Rings, PacketsThatWrapArriveWholeAndInOrder) {
  RingRun run;
  expect_sound(explore(ring_program(run, 3, 0), {.preemptions = 4}));
}

TEST(Rings, AProducerThatWaitsForRoomHearsOfIt) {
  RingRun run;
  expect_sound(explore(ring_program(run, 3, kRingBytes - 4 * kPacketHeaderBytes - 16), {.preemptions = 2, .buffers = true}));
}

TEST(Rings, WithoutFencesTheNoticeOfRoomIsLost) {
  RingRun run;
  const Program program = ring_program(run, 3, kRingBytes - 4 * kPacketHeaderBytes - 16);
  expect_sound(explore(program, {.preemptions = 3, .buffers = true, .no_fences = true}), true);
}

TEST(Sleeping, NoWakeUpIsLost) {
  Sleeper sleeper;
  expect_sound(explore(sleeper.program(2), {.preemptions = 2, .buffers = true}));
}

TEST(Sleeping, WithoutFencesAWakeUpIsLost) {
  Sleeper sleeper;
  expect_sound(explore(sleeper.program(1), {.preemptions = 3, .buffers = true, .no_fences = true}), true);
}

// The reaper's part when a publisher dies, also between taking the sleeper's flag and writing the byte.
TEST(Sleeping, AWakeUpThatADeadProcessOwedIsMadeUpFor) {
  Sleeper sleeper;
  const Program program = sleeper.program(1, [&sleeper] {
    wait_until([] { return has_ended(1); });
    if (is_dead(1)) sleeper.bells().rouse(0);
  });
  expect_sound(explore(program, {.preemptions = 2, .deaths = 1, .mortal = {1}, .buffers = true}));
}

TEST(Claims, ATaskIsRunOrTakenBack) {
  ClaimRun run;
  expect_sound(explore(claim_program(run, false), {.preemptions = 4, .buffers = true}));
}

TEST(Claims, AnAnswerBeforeTheWordIsFreeIsFound) {
  ClaimRun run;
  expect_sound(explore(claim_program(run, true), {.preemptions = 4}), true);
}

}  // namespace
}  // namespace eagleray::model
