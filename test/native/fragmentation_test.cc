// SPDX-License-Identifier: Apache-2.0
// The allocator under objects of 64 B to 256 MiB at nine tenths of the heap: bounded fragmentation, by a figure.
// EAGLERAY_FRAGMENTATION_OPERATIONS=1000000 runs the long form.
#include "fragmentation.h"

#include <cstdlib>

#include "store_fixture.h"

namespace eagleray {
namespace {

class FragmentationTest : public StoreTest {
 protected:
  Fragmentation run(uint64_t heap, uint64_t largest, uint64_t operations, uint64_t seed) {
    // The file is sparse and nothing of the heap is touched: a heap larger than the machine's memory does.
    Result<std::unique_ptr<Segment>> segment = Segment::create(path(), {heap, 1 << 16, NodeId{}});
    EXPECT_TRUE(segment.ok()) << segment.status().describe();
    if (!segment.ok()) return {};
    const Fragmentation result = FragmentationRun(*segment.value(), largest, seed).run(operations);
    std::filesystem::remove_all(path());
    print(result);
    return result;
  }
};

uint64_t operations() {
  const char* const wanted = std::getenv("EAGLERAY_FRAGMENTATION_OPERATIONS");
  return wanted == nullptr ? 40'000 : std::strtoull(wanted, nullptr, 10);
}

// The largest object is a sixteenth of the heap, as 256 MiB is of 4 GiB.
TEST_F(FragmentationTest, MixedSizesAtNineTenths) {
  const Fragmentation result = run(4ull << 30, 256ull << 20, operations(), 1);
  EXPECT_EQ(result.wrong, "");
  EXPECT_GT(result.allocated, operations() / 3);
  // An allocation is refused only with most of the heap in use.
  EXPECT_GT(result.mean, 0.65);
  EXPECT_GT(result.lowest, 0.45);
  EXPECT_GT(result.rounding, 0.95);
}

TEST_F(FragmentationTest, SmallAndMiddlingSizesFillTheHeap) {
  const Fragmentation result = run(64ull << 20, 256 << 10, operations(), 2);
  EXPECT_EQ(result.wrong, "");
  EXPECT_GT(result.mean, 0.8);
  EXPECT_GT(result.rounding, 0.9);
}

}  // namespace
}  // namespace eagleray
