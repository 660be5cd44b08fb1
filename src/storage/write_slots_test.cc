#include "storage/write_slots.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <vector>

namespace steno {
namespace {

WriteSlot Slot(size_t bytes) {
  WriteSlot slot;
  slot.bytes = bytes;
  slot.offset = 8192;
  return slot;
}

TEST(AdvanceWrite, ReportsTheWholeLengthAfterParts) {
  WriteSlot slot = Slot(20480);
  int64_t result = 0;
  EXPECT_EQ(AdvanceWrite(slot, 8192, result), WriteStep::kAgain);
  EXPECT_EQ(slot.rest_offset(), 16384u);
  EXPECT_EQ(slot.rest_bytes(), 12288u);
  EXPECT_EQ(AdvanceWrite(slot, 12288, result), WriteStep::kFinished);
  EXPECT_EQ(result, 20480);
}

TEST(AdvanceWrite, GoesOnAtAnAlignedPlace) {
  WriteSlot slot = Slot(20480);
  int64_t result = 0;
  EXPECT_EQ(AdvanceWrite(slot, 8192 + 512, result), WriteStep::kAgain);
  EXPECT_EQ(slot.done, 8192u);
}

TEST(AdvanceWrite, EndsWhenPartsStaySmall) {
  WriteSlot slot = Slot(20480);
  int64_t result = 0;
  int steps = 0;
  while (AdvanceWrite(slot, 100, result) == WriteStep::kAgain) ASSERT_LT(++steps, 1000);
  EXPECT_EQ(result, 20480);
}

TEST(AdvanceWrite, ReportsErrorsAndNoProgress) {
  WriteSlot slot = Slot(4096);
  int64_t result = 0;
  EXPECT_EQ(AdvanceWrite(slot, -ENOSPC, result), WriteStep::kFinished);
  EXPECT_EQ(result, -ENOSPC);
  EXPECT_EQ(AdvanceWrite(slot, 0, result), WriteStep::kFinished);
  EXPECT_EQ(result, -EIO);
}

TEST(AdvanceWrite, RetriesWhatEndsByItselfButNotForEver) {
  WriteSlot slot = Slot(4096);
  int64_t result = 0;
  int steps = 0;
  while (AdvanceWrite(slot, -EAGAIN, result) == WriteStep::kAgain) ASSERT_LT(++steps, 100'000);
  EXPECT_GT(steps, 10);
  EXPECT_EQ(result, -EAGAIN);
}

TEST(WriteSlots, AreAllUsableAndGivenBack) {
  WriteSlots slots(3);
  const std::vector<uint8_t> bytes(10);
  EXPECT_EQ(slots.Take(5, bytes, 1, 100), 0u);
  EXPECT_EQ(slots.Take(5, bytes, 2, 101), 1u);
  const unsigned third = slots.Take(5, bytes, 3, 102);
  EXPECT_TRUE(slots.full());
  EXPECT_EQ(slots.in_use(), 3u);
  const WriteCompletion completion = slots.Finish(third, -5);
  EXPECT_EQ(completion.token, 102u);
  EXPECT_EQ(completion.result, -5);
  EXPECT_GE(completion.latency_ns, 0);
  EXPECT_FALSE(slots.full());
}

TEST(WriteSlots, RefusedWritesAreFinishedWithTheirErrorOnceThereIsRoom) {
  WriteSlots slots(3);
  for (uint64_t token = 0; token < 3; ++token) slots.Refuse(slots.Take(5, {}, 0, token), EBADF);
  std::array<WriteCompletion, 2> out;
  ASSERT_EQ(slots.FinishRefused(out), 2u);
  EXPECT_EQ(out[0].result, -EBADF);
  EXPECT_EQ(slots.in_use(), 1u);
  ASSERT_EQ(slots.FinishRefused(out), 1u);
  EXPECT_EQ(slots.FinishRefused(out), 0u);
  EXPECT_EQ(slots.in_use(), 0u);
}

}  // namespace
}  // namespace steno
