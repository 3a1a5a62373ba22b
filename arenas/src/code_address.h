// A code address as a person can follow it: "SYMBOL+0x12 (MODULE+0x3456)", the second for addr2line. Does not
// allocate. Private to the layer.
#pragma once

namespace stadial::arenas {

struct CodeAddressText {
  char text[384];
  const char* Get() const noexcept { return text; }
};

// `address`: a return address; the call before it is what is named.
CodeAddressText FormatCodeAddress(const void* address) noexcept;

}  // namespace stadial::arenas
