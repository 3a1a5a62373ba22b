// One line on a terminal that says how far a run is and when it will be done. Quiet everywhere else. Fixed
// buffers and write(2): it allocates nothing, and is called between two frames, never inside one.
#pragma once

#include <cstdint>

namespace stadial::sandbox {

class ProgressBar {
 public:
  // Draws only when `isTerminal`; to standard error.
  ProgressBar(std::uint64_t frames, bool isTerminal) noexcept;
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // At most ten times a second something is drawn.
  void Update(std::uint64_t framesDone) noexcept;
  // Takes the line away.
  void Clear() noexcept;

 private:
  void Draw(std::uint64_t framesDone, std::uint64_t nowNs) noexcept;
  std::uint64_t frames_;
  std::uint64_t startNs_;
  std::uint64_t lastDrawNs_ = 0;
  bool isTerminal_;
  bool isDrawn_ = false;
};

}  // namespace stadial::sandbox
