// SPDX-License-Identifier: Apache-2.0
#include "explorer.h"

#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace eagleray::model {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
// An execution of more steps than this does not end.
constexpr uint64_t kStepsMost = 100'000;

struct Store {
  void* at;
  uint64_t value;
  size_t bytes;
};

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  enum State { kRuns, kWaits, kSleeps, kSpins, kEnded, kDead } state;
  std::function<bool()> holds;      // kWaits
  uint64_t writes_seen = 0;         // kSpins: until somebody else has written
  bool impatient = false;           // spins on without letting others run, until it sleeps
  std::vector<Store> buffer;
};

struct Choice {
  uint32_t taken;
  uint32_t of;
};

struct Run {
  const Program* program;
  const Bounds* bounds;
  std::vector<Thread> threads;
  std::vector<Choice> path;
  size_t depth = 0;
  int current = -1;
  int preemptions = 0;
  int deaths = 0;
  uint64_t steps = 0;
  uint64_t writes = 0;
  std::string wrong;
  ucontext_t main;
  bool over = false;
  bool looking = false;  // at what a thread waits for: that is no step
};

Run* run = nullptr;
uint64_t executions = 0;
uint32_t outside_pid = 999;

uint32_t choose(uint32_t of) {
  if (of <= 1) return 0;
  if (run->depth == run->path.size()) run->path.push_back({0, of});
  Choice& choice = run->path[run->depth++];
  if (choice.of != of) {  // the program does not do the same on the same choices
    run->wrong = "the execution cannot be repeated";
    return 0;
  }
  return choice.taken;
}

Thread& self() { return run->threads[static_cast<size_t>(run->current)]; }

void apply(const Store& store) {
  std::memcpy(store.at, &store.value, store.bytes);
  run->writes++;
}

void drain_of(Thread& thread) {
  for (const Store& store : thread.buffer) apply(store);
  thread.buffer.clear();
}

bool holds(const std::function<bool()>& condition) {
  run->looking = true;
  const bool result = condition();
  run->looking = false;
  return result;
}

bool can_run(Thread& thread) {
  switch (thread.state) {
    case Thread::kRuns: return true;
    case Thread::kWaits: return holds(thread.holds);
    case Thread::kSpins: return run->writes != thread.writes_seen;
    default: return false;
  }
}

void switch_to(int next) {
  if (next == run->current) return;
  Thread& from = self();
  run->current = next;
  self().state = Thread::kRuns;
  swapcontext(&from.context, &self().context);
}

[[noreturn]] void end_execution() {
  run->over = true;
  setcontext(&run->main);
  __builtin_unreachable();
}

bool somebody_died() {
  return std::any_of(run->threads.begin(), run->threads.end(), [](const Thread& thread) { return thread.state == Thread::kDead; });
}

// What the thread that cannot go on leaves the others: any that can run, else a sleeper whose time is up, else nobody.
void hand_over() {
  std::vector<int> able;
  const int count = static_cast<int>(run->threads.size());
  for (int i = 0; i < count; i++) {
    if (can_run(run->threads[static_cast<size_t>(i)])) able.push_back(i);
  }
  if (able.empty()) {
    for (int i = 0; i < count; i++) {
      const Thread::State state = run->threads[static_cast<size_t>(i)].state;
      if (state == Thread::kSleeps) able.push_back(i);
    }
    for (int i = 0; able.empty() && i < count; i++) {
      if (run->threads[static_cast<size_t>(i)].state == Thread::kSpins) able.push_back(i);
    }
    // Time passes only when nobody runs, and for all who sleep then. Where nobody died that is a wake-up that never came.
    for (const int i : able) {
      Thread& sleeper = run->threads[static_cast<size_t>(i)];
      if (sleeper.state != Thread::kSleeps) break;
      if (!somebody_died()) fail("asleep on a futex that nobody will wake");
      sleeper.state = Thread::kRuns;
    }
  }
  if (able.empty()) {
    for (const Thread& thread : run->threads) {
      if (thread.state == Thread::kWaits) fail("a thread waits for ever");
    }
    end_execution();
  }
  switch_to(able[choose(static_cast<uint32_t>(able.size()))]);
}

bool watched(const void* at) {
  const std::vector<Range>& ranges = run->program->watched;
  if (ranges.empty()) return true;
  return std::any_of(ranges.begin(), ranges.end(), [at](const Range& range) {
    return at >= range.begin && at < static_cast<const char*>(range.begin) + range.bytes;
  });
}

bool in_thread() { return run != nullptr && run->current >= 0 && !run->over && !run->looking; }

// One place where another thread may run, this one may die, or a buffer may drain.
void step() {
  if (!run->wrong.empty()) end_execution();
  if (++run->steps > kStepsMost) {
    run->wrong = "it does not end";
    end_execution();
  }
  struct Option {
    enum { kGoOn, kSwitch, kDrain, kDie } what;
    int thread;
  };
  Option options[16];
  uint32_t count = 0;
  options[count++] = {Option::kGoOn, run->current};
  const int threads = static_cast<int>(run->threads.size());
  for (int i = 0; i < threads && run->preemptions > 0; i++) {
    if (i != run->current && can_run(run->threads[static_cast<size_t>(i)])) options[count++] = {Option::kSwitch, i};
    if (!run->threads[static_cast<size_t>(i)].buffer.empty()) options[count++] = {Option::kDrain, i};
  }
  const std::vector<int>& mortal = run->bounds->mortal;
  if (run->deaths > 0 && std::find(mortal.begin(), mortal.end(), run->current) != mortal.end()) {
    options[count++] = {Option::kDie, run->current};
  }
  const Option option = options[choose(count)];
  if (option.what == Option::kGoOn) return;
  if (option.what == Option::kDie) {
    run->deaths--;
    die();  // what left the core arrives, whoever sent it
    return;
  }
  run->preemptions--;
  if (option.what == Option::kDrain) {
    drain_of(run->threads[static_cast<size_t>(option.thread)]);
  } else {
    switch_to(option.thread);
  }
}

void begin_thread() {
  run->program->threads[static_cast<size_t>(run->current)]();
  drain_of(self());
  self().state = Thread::kEnded;
  run->writes++;
  hand_over();
}

void execute() {
  executions++;
  run->depth = 0;
  run->steps = 0;
  run->over = false;
  run->current = -1;
  run->preemptions = run->bounds->preemptions;
  run->deaths = run->bounds->deaths;
  run->program->reset();
  for (Thread& thread : run->threads) {
    thread.state = Thread::kRuns;
    thread.buffer.clear();
    thread.impatient = false;
    thread.holds = nullptr;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.get();
    thread.context.uc_stack.ss_size = kStackBytes;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, begin_thread, 0);
  }
  getcontext(&run->main);
  if (!run->over) {
    const uint32_t first = choose(static_cast<uint32_t>(run->threads.size()));
    run->current = static_cast<int>(first);
    setcontext(&self().context);
  }
  run->current = -1;
  if (run->wrong.empty()) run->wrong = run->program->check();
}

// The next sequence of choices, depth first; false when all were taken.
bool advance(std::vector<Choice>& path) {
  while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
  if (path.empty()) return false;
  path.back().taken++;
  return true;
}

}  // namespace

Outcome explore(const Program& program, const Bounds& bounds) {
  Run here;
  here.program = &program;
  here.bounds = &bounds;
  here.threads.resize(program.threads.size());
  for (Thread& thread : here.threads) thread.stack = std::make_unique<char[]>(kStackBytes);
  run = &here;
  Outcome outcome;
  do {
    execute();
    outcome.executions++;
    outcome.longest = std::max(outcome.longest, here.steps);
    if (outcome.executions > bounds.executions) here.wrong = "more executions than the test allows";
  } while (here.wrong.empty() && advance(here.path));
  outcome.wrong = here.wrong;
  run = nullptr;
  return outcome;
}

void fail(const std::string& what) {
  if (run->wrong.empty()) run->wrong = what;
}

void pause_step() {
  if (in_thread()) step();
}

void wait_until(const std::function<bool()>& condition) {
  if (!in_thread()) return;
  step();
  drain_of(self());
  if (holds(condition)) return;
  self().holds = condition;
  self().state = Thread::kWaits;
  hand_over();
}

void die() {
  if (!in_thread()) return;
  drain_of(self());
  self().state = Thread::kDead;
  run->writes++;
  hand_over();
}

bool is_dead(int thread) { return run->threads[static_cast<size_t>(thread)].state == Thread::kDead; }
bool has_ended(int thread) { return is_dead(thread) || run->threads[static_cast<size_t>(thread)].state == Thread::kEnded; }

int current_pid() { return in_thread() ? 1000 + run->current : static_cast<int>(outside_pid); }
void set_pid(uint32_t pid) { outside_pid = pid; }
bool pid_is_dead(uint32_t pid) {
  return run != nullptr && pid >= 1000 && pid - 1000 < run->threads.size() && is_dead(static_cast<int>(pid - 1000));
}

void before(const void* at, Access access) {
  if (!in_thread()) return;
  if (access == Access::kModify) drain_of(self());
  if (watched(at)) step();
}

void after(const void* at) {
  if (!in_thread()) return;
  run->writes++;
  if (watched(at)) step();
}

bool defer(void* at, uint64_t value, size_t bytes, bool sequential) {
  if (!in_thread() || !run->bounds->buffers) return false;
  if (sequential && !run->bounds->weak_stores) {
    drain_of(self());
    return false;
  }
  // In the order of the program: behind what waits already, or first to wait if a preemption is spent on it.
  if (self().buffer.empty()) {
    if (run->preemptions == 0 || !watched(at) || choose(2) == 0) return false;
    run->preemptions--;
  }
  self().buffer.push_back({at, value, bytes});
  return true;
}

bool buffered(const void* at, uint64_t* value) {
  if (!in_thread()) return false;
  const std::vector<Store>& buffer = self().buffer;
  const auto found = std::find_if(buffer.rbegin(), buffer.rend(), [at](const Store& store) { return store.at == at; });
  if (found == buffer.rend()) return false;
  *value = found->value;
  return true;
}

void drain() {
  if (in_thread()) drain_of(self());
}

void fence() {
  if (in_thread() && !run->bounds->no_fences) drain_of(self());
}

void spin() {
  if (!in_thread()) return;
  drain_of(self());
  if (++run->steps > kStepsMost) run->wrong = "it spins for ever";
  if (!run->wrong.empty()) end_execution();
  if (!self().impatient && run->preemptions > 0 && choose(2) == 1) {
    run->preemptions--;
    self().impatient = true;
  }
  if (self().impatient) return;
  self().writes_seen = run->writes;
  self().state = Thread::kSpins;
  // To the next in turn and not to each: a spin that is repeated adds no order of steps that one spin does not have.
  const int count = static_cast<int>(run->threads.size());
  for (int i = 1; i < count; i++) {
    const int next = (run->current + i) % count;
    if (can_run(run->threads[static_cast<size_t>(next)])) return switch_to(next);
  }
  self().state = Thread::kRuns;
}

void futex_wait(const uint32_t* word, uint32_t expected) {
  if (!in_thread() || *word != expected) return;
  if (!run->wrong.empty()) end_execution();
  self().impatient = false;
  self().state = Thread::kSleeps;
  hand_over();
}

void futex_wake() {
  if (!in_thread()) return;
  for (Thread& thread : run->threads) {
    if (thread.state != Thread::kSleeps) continue;
    thread.state = Thread::kRuns;
    return;
  }
}

uint64_t epoch() { return executions; }

}  // namespace eagleray::model
