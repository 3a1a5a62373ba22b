#include "stadial/arenas/quarantine.h"

#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/poison.h"

namespace stadial::arenas {

Result<Quarantine> Quarantine::Create(const QuarantineOptions& options, std::byte* base, std::size_t bytes) {
  STADIAL_ASSERT(reinterpret_cast<std::uintptr_t>(base) % PageSize() == 0, "windows start at pages");
  if (options.windowCount < 2 || options.windowCount > kQuarantineWindowsMax) {
    return Error::Format(ErrorCode::InvalidArgument, "quarantine '%s': windowCount is %u; give 2 to %u",
                         options.name, options.windowCount, kQuarantineWindowsMax);
  }
  Quarantine made;
  made.name_ = options.name;
  made.base_ = base;
  made.windowCount_ = options.windowCount;
  made.windowBytes_ = bytes / options.windowCount / PageSize() * PageSize();
  if (made.windowBytes_ == 0) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "quarantine '%s': %s for %u windows is less than a page (%s) each; give more bytes or "
        "fewer windows",
        options.name, FormatBytes(bytes).Get(), options.windowCount, FormatBytes(PageSize()).Get());
  }
  const std::size_t closedBytes = made.windowBytes_ * (options.windowCount - 1);
  STADIAL_RETURN_IF_ERROR(ProtectPages(base + made.windowBytes_, closedBytes, PageAccess::None));
  return made;
}

Result<std::byte*> Quarantine::Rotate() {
  STADIAL_ASSERT_COMPARE_ALWAYS(windowCount_, !=, 0u, "a quarantine of no windows cannot rotate");
  const std::uint32_t next = current_ + 1 == windowCount_ ? 0 : current_ + 1;
  std::byte* const opened = base_ + windowBytes_ * next;
  // Committing again keeps contents and makes sure that no write faults later.
  const Result<void> committed = CommitPages(opened, windowBytes_);
  if (!committed) {
    return Error::Format(committed.GetError().Code(), "quarantine '%s': opening window %u: %s", name_, next,
                         committed.GetError().Message());
  }
  const Result<void> closed = ProtectPages(Window(), windowBytes_, PageAccess::None);
  if (!closed) {
    static_cast<void>(ProtectPages(opened, windowBytes_, PageAccess::None).HasValue());
    return Error::Format(closed.GetError().Code(), "quarantine '%s': closing window %u: %s", name_, current_,
                         closed.GetError().Message());
  }
  current_ = next;
  ++rotations_;
  return opened;
}

Result<void> Quarantine::RotateAndReset(const LaneSet& lanes, std::source_location site) {
  STADIAL_ASSERT_COMPARE(static_cast<const void*>(lanes.Lane(0).Base()), ==,
                         static_cast<const void*>(Window()), "the lanes do not stand in the open window");
  // A checked build writes to what it takes back, so that has to happen before the window closes.
  lanes.ResetAll(site);
  Result<std::byte*> opened =
      STADIAL_EFFECTS_REVIEWED("system calls on its own pages; a tool that is turned on", Rotate());
  if (!opened) return opened.GetError();
  lanes.MoveAll(*opened);
  return {};
}

Result<void> Quarantine::Open() {
  if (!IsOn()) return {};
  return ProtectPages(base_, windowBytes_ * windowCount_, PageAccess::ReadWrite);
}

Quarantine::Place Quarantine::Describe(const void* address) const noexcept {
  const auto* const byte = static_cast<const std::byte*>(address);
  Place place;
  if (byte < base_ || byte >= base_ + windowBytes_ * windowCount_) return place;
  const auto offset = static_cast<std::size_t>(byte - base_);
  place.isInside = true;
  place.window = static_cast<std::uint32_t>(offset / windowBytes_);
  place.offsetBytes = offset % windowBytes_;
  place.isOpen = place.window == current_;
  const std::uint32_t distance = (current_ + windowCount_ - place.window) % windowCount_;
  if (distance <= rotations_) place.rotationsAgo = distance;
  return place;
}

}  // namespace stadial::arenas
