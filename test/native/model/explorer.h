// SPDX-License-Identifier: Apache-2.0
// Runs a few threads in every order of their steps, up to a bound, and says in which one something is wrong.
//
// The threads are fibers of one real thread, and run the library's own code, compiled with std::atomic, std::mutex, fences, futexes
// and pids replaced (replacements.h). Each access to a shared word is a step: before it, and after it when it wrote, the explorer
// may let another thread run. It repeats the program depth first until every sequence of choices was taken.
//
// What is bounded: 2 or 3 threads of a few operations; at most `preemptions` switches away from a thread that could go on (a switch
// where it waits or has ended is free); `deaths` threads killed, each at any step; words outside the watched ranges are no steps.
// Memory is sequentially consistent, unless `buffers`: then a store that is not sequentially consistent may stay in its thread's
// store buffer while the thread goes on, as on x86, until the thread does a read-modify-write, passes a fence, waits, ends, or a
// preemption is spent to have it drain. Weaker orders, as of ARM, are left to ThreadSanitizer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace eagleray::model {

struct Bounds {
  int preemptions = 2;
  int deaths = 0;
  // Which threads may be killed; none but these.
  std::vector<int> mortal = {};
  bool buffers = false;
  // Mutations that every structure here needs to be found out under: fences that do nothing, sequentially consistent stores that
  // may be delayed like any other.
  bool no_fences = false;
  bool weak_stores = false;
  // A bound on the bound: more executions than this are a failure of the test, not of the code.
  uint64_t executions = 3'000'000;
};

struct Outcome {
  uint64_t executions = 0;
  uint64_t longest = 0;  // steps of the longest execution
  std::string wrong;     // what went wrong in the last execution; empty when none did
};

struct Range {
  const void* begin;
  size_t bytes;
};

// A program: `reset` puts everything into the state it begins in; then the threads run; `check` looks at what they left, and gives
// what is wrong or an empty string. Threads report what is wrong by fail().
struct Program {
  std::function<void()> reset;
  std::vector<std::function<void()>> threads;
  std::function<std::string()> check;
  std::vector<Range> watched;  // empty: every word is a step
};

Outcome explore(const Program& program, const Bounds& bounds);

// For threads of a program. Outside of one, steps cost nothing and nothing waits.
void fail(const std::string& what);
// A step that touches nothing.
void pause_step();
// The thread is killed here.
void die();
// Waits until it holds. Every thread that waits so, with nobody left to run, is a deadlock, which is wrong.
void wait_until(const std::function<bool()>& holds);
bool is_dead(int thread);
bool has_ended(int thread);  // or is dead

// The process that runs: 1000 + thread in a program, and what was set outside of one.
int current_pid();
void set_pid(uint32_t pid);
bool pid_is_dead(uint32_t pid);

// For the replacements.
enum class Access { kLoad, kStore, kModify };
void before(const void* at, Access access);
void after(const void* at);
// Puts a store into the buffer; false: it is to be done now.
bool defer(void* at, uint64_t value, size_t bytes, bool sequential);
// The youngest value of the word in this thread's buffer.
bool buffered(const void* at, uint64_t* value);
void drain();
void fence();
// Lets the others run: this thread spins.
void spin();
// As the system call, on the one futex there is: the segment's lock, which each process maps at another address. Ends with a wake-up
// or, when nobody can run, with the time-out, which is then that of all who sleep.
void futex_wait(const uint32_t* word, uint32_t expected);
void futex_wake();
// Counts executions: what an ended execution left locked is not.
uint64_t epoch();

}  // namespace eagleray::model
