// SPDX-License-Identifier: Apache-2.0
// The store from C++, one process and two at once: what is left when Node is not in the way. Prints one line of JSON a row.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "store.h"

namespace {

using eagleray::Client;
using eagleray::ObjectId;
using eagleray::Store;

constexpr uint64_t kObjects = 1000;
constexpr uint64_t kOperations = 3'000'000;

ObjectId id_of(uint64_t n) {
  ObjectId id{};
  std::memcpy(id.data() + 12, &n, sizeof n);
  return id;
}

Store opened(const std::string& path) {
  auto client = Client::attach(path);
  if (!client.ok()) std::abort();
  return Store(client.value());
}

double per_second(const std::function<void(uint64_t)>& operation) {
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < kOperations; i++) operation(i);
  return static_cast<double>(kOperations) / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double read_rate(Store& store, uint64_t size) {
  std::vector<std::byte> target(size);
  return per_second([&](uint64_t i) {
    if (store.read(id_of(i % kObjects), target.data(), size).value() != size) std::abort();
  });
}

// The rate of each of `processes` that read at once.
std::vector<double> read_rates(const std::string& path, uint64_t size, int processes) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  for (int i = 0; i < processes; i++) {
    if (fork() != 0) continue;
    Store store = opened(path);
    const double rate = read_rate(store, size);
    _exit(write(ends[1], &rate, sizeof rate) == sizeof rate ? 0 : 1);
  }
  std::vector<double> rates(static_cast<size_t>(processes));
  for (double& rate : rates) {
    if (read(ends[0], &rate, sizeof rate) != sizeof rate) std::abort();
  }
  while (wait(nullptr) > 0) {
  }
  return rates;
}

}  // namespace

int main() {
  const std::string path = "/dev/shm/eagleray-bench-native-" + std::to_string(getpid());
  {
    auto client = Client::create(path, {64ull << 20, 0, {}, {}, 0}, false);
    if (!client.ok()) return 1;
    Store store(client.value());
    const std::vector<std::byte> bytes(1024);
    for (const uint64_t size : {uint64_t{8}, uint64_t{1024}}) {
      for (uint64_t n = 0; n < kObjects; n++) {
        (void)store.remove(id_of(n));
        if (!store.put(id_of(n), bytes.data(), size).ok()) return 1;
      }
      const double alone = read_rates(path, size, 1)[0];
      const std::vector<double> both = read_rates(path, size, 2);
      std::printf("{\"row\":\"read %lu bytes\",\"perSecond\":%.0f,\"eachOfTwoPerSecond\":[%.0f,%.0f]}\n", size, alone, both[0], both[1]);
    }
    const double puts = per_second([&](uint64_t i) {
      if (!store.put(id_of(kObjects + i), bytes.data(), 1024).ok() || !store.remove(id_of(kObjects + i)).ok()) std::abort();
    });
    std::printf("{\"row\":\"put and remove 1024 bytes\",\"perSecond\":%.0f}\n", puts);
  }
  std::filesystem::remove_all(path);
  return 0;
}
