#include "stadial/arenas/fixed_string.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FixedString, AppendsAndStaysTerminated) {
  ArenaBuffer buffer;
  FixedString text(buffer.arena, 12);
  EXPECT_STREQ(text.CString(), "");
  text.Append("lane ");
  text.AppendFormat("%d", 42);
  text.PushBack('!');
  EXPECT_EQ(text, "lane 42!");
  EXPECT_STREQ(text.CString(), "lane 42!");
  EXPECT_EQ(text.RemainingBytes(), 4u);
  text.PopBack();
  text.Truncate(4);
  EXPECT_STREQ(text.CString(), "lane");
  text[0] = 'L';
  EXPECT_EQ(text, "Lane");
  text.Clear();
  EXPECT_TRUE(text.IsEmpty());
}

TEST(FixedString, ARefusalChangesNothing) {
  ArenaBuffer buffer;
  FixedString text(buffer.arena, 4);
  EXPECT_TRUE(text.TryAppend("abc"));
  EXPECT_FALSE(text.TryAppend("de"));
  EXPECT_FALSE(text.TryAppendFormat("%s", "de"));
  EXPECT_FALSE(text.TryInsert(0, "de"));
  EXPECT_FALSE(text.TryAssign("abcde"));
  EXPECT_STREQ(text.CString(), "abc");
  EXPECT_TRUE(text.TryAppendFormat("%c", 'd'));
  EXPECT_TRUE(text.IsFull());
  EXPECT_FALSE(text.TryPushBack('e'));
  EXPECT_STREQ(text.CString(), "abcd");
}

TEST(FixedString, OfNothing) {
  FixedString none;
  EXPECT_STREQ(none.CString(), "");
  EXPECT_TRUE(none.TryAppend(""));
  EXPECT_TRUE(none.TryAppendFormat("%s", ""));
  EXPECT_FALSE(none.TryAppend("a"));
  EXPECT_FALSE(none.TryAppendFormat("a"));
  EXPECT_FALSE(none.AppendFormatTruncated("a"));
  EXPECT_FALSE(none.AppendTruncated("a"));
  none.Clear();
  none.Remove(0, 0);
  EXPECT_EQ(none, "");
}

TEST(FixedString, TakesPartsOfItself) {
  ArenaBuffer buffer;
  FixedString text(buffer.arena, 16);
  text.Append("abcd");
  text.Append(text.View().substr(1, 2));
  EXPECT_EQ(text, "abcdbc");
  text.Insert(1, text.View().substr(0, 4));
  EXPECT_EQ(text, "aabcdbcdbc");
  text.Assign(text.View().substr(2, 3));
  EXPECT_EQ(text, "bcd");
}

// Short texts are copied otherwise than long ones: of every length, each byte arrives and none beside it
// changes.
TEST(FixedString, AppendsTextsOfEveryLength) {
  for (std::size_t length = 0; length <= 40; ++length) {
    ArenaBuffer buffer;
    FixedString text(buffer.arena, 2 + 2 * length);
    std::string expected = "<";
    for (std::size_t index = 0; index < length; ++index) expected += static_cast<char>('0' + index);
    text.Append("<");
    text.Append(expected.substr(1));
    EXPECT_STREQ(text.CString(), expected.c_str());
    text.Append(text.View().substr(1));  // up to where the copy begins
    expected += expected.substr(1);
    EXPECT_STREQ(text.CString(), expected.c_str());
  }
}

// A two-, a three- and a four-byte sequence, cut at every place.
TEST(FixedString, TruncatesBetweenCharacters) {
  const std::string whole = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x8E\xAE";
  const std::size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
  for (std::size_t capacity = 0; capacity <= whole.size(); ++capacity) {
    ArenaBuffer buffer;
    FixedString text(buffer.arena, capacity);
    EXPECT_EQ(text.AppendTruncated(whole), capacity == whole.size());
    EXPECT_EQ(text, whole.substr(0, kept[capacity])) << "capacity " << capacity;
    text.Clear();
    EXPECT_EQ(text.AppendFormatTruncated("%s", whole.c_str()), capacity == whole.size());
    EXPECT_EQ(text, whole.substr(0, kept[capacity])) << "capacity " << capacity;
  }
}

TEST(FixedString, TruncatesWhatIsNotTextWhereItMust) {
  ArenaBuffer buffer;
  FixedString text(buffer.arena, 5);
  EXPECT_FALSE(text.AppendTruncated("\x80\x80\x80\x80\x80\x80"));
  EXPECT_EQ(text.Size(), 5u);
}

TEST(FixedString, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FixedString source(buffer.arena, 3);
  source.Append("abc");
  FixedString target = std::move(source);
  EXPECT_EQ(target, "abc");
  EXPECT_EQ(source.Capacity(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_STREQ(source.CString(), "");
  source = std::move(target);
  EXPECT_EQ(source, "abc");
}

std::string RunStringProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = random.Below(90);
  FixedString text(buffer.arena, capacity);
  std::string model;
  for (int step = 0; step < 4000; ++step) {
    // A word of its own, or a part of the text itself.
    std::string word(random.Below(20), static_cast<char>('a' + random.Below(26)));
    std::string_view piece = word;
    if (random.OneIn(3)) {
      const std::size_t from = random.Below(model.size() + 1);
      const std::size_t count = random.Below(model.size() - from + 1);
      word = model.substr(from, count);
      piece = text.View().substr(from, count);
    }
    const bool fits = word.size() <= capacity - model.size();
    const std::size_t index = random.Below(model.size() + 1);
    const std::size_t choice = random.Below(100);
    if (choice < 25) {
      if (text.TryAppend(piece) != fits) return Differs("step %d: append", step);
      if (fits) model += word;
    } else if (choice < 40) {
      if (text.TryAppendFormat("%s", word.c_str()) != fits) return Differs("step %d: format", step);
      if (fits) model += word;
    } else if (choice < 50) {
      const bool whole =
          random.OneIn(2) ? text.AppendTruncated(piece) : text.AppendFormatTruncated("%s", word.c_str());
      if (whole != fits) return Differs("step %d: truncated", step);
      model += word.substr(0, capacity - model.size());
    } else if (choice < 65) {
      if (text.TryInsert(index, piece) != fits) return Differs("step %d: insert", step);
      if (fits) model.insert(index, word);
    } else if (choice < 75) {
      if (text.TryAssign(piece) != (word.size() <= capacity)) return Differs("step %d: assign", step);
      if (word.size() <= capacity) model = word;
    } else if (choice < 90) {
      const std::size_t count = random.Below(model.size() - index + 1);
      text.Remove(index, count);
      model.erase(index, broken && count > 2 ? count - 1 : count);
    } else if (choice < 97) {
      text.Truncate(index);
      model.resize(index);
    } else {
      text.Clear();
      model.clear();
    }
    if (text.View() != model) return Differs("step %d: contents", step);
    if (std::strlen(text.CString()) != model.size()) return Differs("step %d: the zero at the end", step);
  }
  return "";
}

TEST(FixedString, ProgramAgreesWithModel) {
  testing::ExpectAgreement("fixed_string", [](OpRandom& random) { return RunStringProgram(random, false); });
}
TEST(FixedString, ProgramCanary) {
  testing::ExpectCanary("fixed_string", [](OpRandom& random) { return RunStringProgram(random, true); });
}

TEST(FixedStringDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FixedString text(buffer.arena, 4);
  text.Append("abc");
  EXPECT_DEATH(text.Append("de"), "\\(2 vs 1\\).*FixedString is full");
  EXPECT_DEATH(text.AppendFormat("%d", 12), "\\(2 vs 1\\).*FixedString is full");
  EXPECT_DEATH(text.Insert(0, "de"), "\\(2 vs 1\\).*FixedString is full");
#if STADIAL_ASSERT_LEVEL >= 1
  EXPECT_DEATH(text.Remove(2, 2), "ends behind the text");
#endif
}

}  // namespace
}  // namespace stadial::arenas
