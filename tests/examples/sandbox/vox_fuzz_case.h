// One fuzz case: what is done to a file, and what must hold of whatever the reader makes of it. Shared by the
// in-process fuzzer and the libFuzzer entry point.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "random_scene.h"
#include "vox_file.h"

namespace stadial::sandbox::testing {

// Where a chunk's header lies in a well-formed file. The first is MAIN.
std::vector<std::size_t> FindChunks(std::span<const std::byte> file);

enum class Mutation : std::uint8_t {
  Truncate,
  FlipBit,
  SetInt,     // an int32 anywhere becomes an extreme or small value
  ChunkSize,  // a chunk's content or children size changes
  ChunkId,
  DeleteChunk,
  DuplicateChunk,
  SpliceChunk,       // a chunk of another file is put in
  DictionaryText,    // a byte of a key or value changes, often a digit
  DictionaryLength,  // a key's or value's length changes
  InsertBytes,
  Count,
};
const char* ToString(Mutation mutation);

// Applies one mutation; may leave the file as it was when it has no place for it. `donor`: for splices.
// Sizes of MAIN are kept right by chunk mutations three times out of four, so that the reader gets past them.
void Mutate(std::vector<std::byte>& file, Mutation mutation, std::span<const std::byte> donor,
            Random& random);

struct FuzzOutcome {
  bool accepted = false;  // the reader took the file
  bool built = false;     // and a world came of it
  std::string message;    // of the first error
  std::string violation;  // empty, or what must not be: the case has found a defect
};

// Reads, checks what was read, writes it and reads it again, flattens it and builds a small world from it.
FuzzOutcome RunFuzzCase(std::span<const std::byte> file);

// The invariants of a scene that came out of ReadVox from a file of this size; empty when all hold.
std::string FindViolation(const VoxScene& scene, std::size_t fileBytes);

}  // namespace stadial::sandbox::testing
