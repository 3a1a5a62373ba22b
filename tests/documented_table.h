// A table in a document that a test prints: the two are held against each other, and rewritten on request.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace stadial::tests {

// In the file at `path`, between the lines `begin` and `end` (each once, with its line break), must stand
// `table`. With the environment variable `updateVariable` it is written there instead.
inline void ExpectDocumentedTable(const std::string& path, const std::string& begin, const std::string& end,
                                  const std::string& table, const std::string& updateVariable) {
  std::string page;
  {
    std::ifstream file(path);
    ASSERT_TRUE(file.good()) << path;
    page.assign(std::istreambuf_iterator<char>(file), {});
  }
  const std::size_t beginAt = page.find(begin);
  const std::size_t last = page.find(end);
  ASSERT_NE(beginAt, std::string::npos);
  ASSERT_NE(last, std::string::npos);
  const std::size_t first = beginAt + begin.size();
  if (std::getenv(updateVariable.c_str()) != nullptr) {
    std::ofstream(path) << page.substr(0, first) << table << page.substr(last);
    return;
  }
  EXPECT_EQ(page.substr(first, last - first), table) << "run with " << updateVariable << "=1";
}

}  // namespace stadial::tests
