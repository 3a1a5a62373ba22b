// One step of the falling-sand automaton. The rules stand in automaton_cpu.h; this must match it cell for cell.
//
// One work group in x per slot, 17 in y for pairs of rows along z. An invocation owns one word (four cells along x) in
// each of up to four rows: a pair along y and a pair along z, as the step's blocks lie. It writes only words of its own
// chunk, and no two invocations of a chunk own the same word; rows and words beyond the chunk's border are read, never
// written, so neighbours agree by computing the border's blocks twice. Even offset: 2 blocks per word. Odd offset: 3,
// the outer two shared with the words left and right.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 8, local_size_y = 16) in;

layout(set = 0, binding = 0, std140) uniform Frame { FrameUniforms frame; };
layout(set = 0, binding = 1, std430) readonly buffer ChunkTable { uint chunkTable[]; };
layout(set = 0, binding = 2, std430) readonly buffer SlotChunks { uint slotChunks[]; };
layout(set = 0, binding = 3, std430) readonly buffer CellsIn { uint cellsIn[]; };
layout(set = 0, binding = 4, std430) writeonly buffer CellsOut { uint cellsOut[]; };
layout(push_constant) uniform Push { uint subStep; } push;

const uint kWallWord = 0x01010101u;  // four cells of stone

uint sandBegin;
uint waterBegin;
ivec3 chunkOfGroup;
uint slotOfGroup;

uvec3 OffsetOfStep(uint step) {
  uint across = ((step + 1u) >> 1u) & 1u;
  return uvec3(across, across, step & 1u);
}

uint HashOfBlock(uint seed, uint step, uvec3 b) {
  uint h = seed * 0x9e3779b9u + step * 0x85ebca6bu;
  h ^= b.x * 0xc2b2ae35u + b.y * 0x27d4eb2fu + b.z * 0x165667b1u;
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) * 0x846ca68bu;
  return h ^ (h >> 16);
}

// The word at (word along x, row along y, layer along z), counted from the group's chunk; one step beyond its border
// at most. Walls where nothing is resident.
uint LoadWord(ivec3 at) {
  ivec3 chunkStep = ivec3(at.x >> 3, at.y >> 5, at.z >> 5);
  uint slot = slotOfGroup;
  if (chunkStep != ivec3(0)) {
    ivec3 chunk = chunkOfGroup + chunkStep;
    if (any(lessThan(chunk, ivec3(0))) || any(greaterThanEqual(chunk, ivec3(frame.world.xyz)))) return kWallWord;
    uint entry = chunkTable[uint(chunk.x) + frame.world.x * (uint(chunk.y) + frame.world.y * uint(chunk.z))];
    if (entry == 0u) return kWallWord;
    slot = entry - 1u;
  }
  return cellsIn[slot * kChunkWords + uint(at.x & 7) + kWordsPerRow * uint(at.y & 31) + kWordsPerLayer * uint(at.z & 31)];
}

// The top bit of every byte that is sand or water. Exact because those ids are at least 128: adding 128 - (id - 128)
// to the low seven bits carries into the top bit exactly from sandBegin on, and never beyond it.
uint MovableBits(uint word) {
  return ((word & 0x7f7f7f7fu) + 0x01010101u * (256u - sandBegin)) & word & 0x80808080u;
}

// A block is two words, lower and upper; column c (x is bit 0, y is bit 1) is byte c.
uint Cell(uint layer, uint column) { return (layer >> (8u * column)) & 255u; }
uint WithCell(uint layer, uint column, uint id) {
  uint shift = 8u * column;
  return (layer & ~(255u << shift)) | (id << shift);
}
bool IsSand(uint id) { return id >= sandBegin && id < waterBegin; }
bool IsWater(uint id) { return id >= waterBegin; }

void Fall(inout uint lower, inout uint upper, uint hash) {
  for (uint column = 0u; column < 4u; ++column) {
    uint low = Cell(lower, column);
    uint up = Cell(upper, column);
    bool falls = low == 0u ? up >= sandBegin : IsWater(low) && IsSand(up) && ((hash >> (8u + column)) & 1u) != 0u;
    if (falls) {
      lower = WithCell(lower, column, up);
      upper = WithCell(upper, column, low);
    }
  }
}

// Upper sand (or water) of a column slides into the lower cell of another.
void Slide(inout uint lower, inout uint upper, uint hash, bool sand) {
  uint across = (hash >> 2) & 1u;
  uint tries = 2u + ((hash >> 3) & 1u);
  for (uint i = 0u; i < 4u; ++i) {
    uint column = (i + hash) & 3u;
    uint id = Cell(upper, column);
    if (sand ? !IsSand(id) : !IsWater(id)) continue;
    for (uint k = 0u; k < tries; ++k) {
      uint target = column ^ (k == 2u ? 3u : 1u + (k ^ across));
      uint low = Cell(lower, target);
      uint up = Cell(upper, target);
      bool open = sand ? (low == 0u || IsWater(low)) && (up == 0u || IsWater(up)) : low == 0u && up == 0u;
      if (open) {
        lower = WithCell(lower, target, id);
        upper = WithCell(upper, column, low);
        break;
      }
    }
  }
}

// Swaps the upper cells of columns a and b when one is water and the other empty above something.
void SpreadPair(uint lower, inout uint upper, uint a, uint b) {
  uint idA = Cell(upper, a);
  uint idB = Cell(upper, b);
  bool forth = IsWater(idA) && idB == 0u && Cell(lower, b) != 0u;
  bool back = IsWater(idB) && idA == 0u && Cell(lower, a) != 0u;
  if (forth || back) upper = WithCell(WithCell(upper, a, idB), b, idA);
}

void Spread(uint lower, inout uint upper, uint hash) {
  bool straight = ((hash >> 4) & 7u) == 0u;
  uint partner = straight ? (((hash >> 7) & 1u) != 0u ? 1u : 2u) : 3u;  // of column 0
  uint second = partner == 1u ? 2u : 1u;                                // the lowest column of the other pair
  SpreadPair(lower, upper, 0u, partner);
  SpreadPair(lower, upper, second, second ^ partner);
}

void StepBlock(inout uint lower, inout uint upper, uint step, uvec3 block) {
  if ((MovableBits(lower) | MovableBits(upper)) == 0u) return;
  uint hash = HashOfBlock(frame.automaton.y, step, block);
  Fall(lower, upper, hash);
  Slide(lower, upper, hash, true);
  Slide(lower, upper, hash, false);
  Spread(lower, upper, hash);
}

// Two cells along x of the block that is number `part` of this word, from one row: bits 0-15.
uint PairOf(uint previous, uint own, uint next, uint odd, uint part) {
  if (odd == 0u) return (own >> (16u * part)) & 0xffffu;
  if (part == 0u) return (previous >> 24) | ((own & 0xffu) << 8);
  if (part == 1u) return (own >> 8) & 0xffffu;
  return (own >> 24) | ((next & 0xffu) << 8);
}

// Puts a pair back into this word: the inverse of PairOf, for the bytes that are this word's own.
uint WithPair(uint own, uint pair, uint odd, uint part) {
  if (odd == 0u) return part == 0u ? (own & 0xffff0000u) | pair : (own & 0x0000ffffu) | (pair << 16);
  if (part == 0u) return (own & 0xffffff00u) | (pair >> 8);
  if (part == 1u) return (own & 0xff0000ffu) | (pair << 8);
  return (own & 0x00ffffffu) | (pair << 24);
}

// The four rows of words at x = `word` whose lower row along y and z is (y, z), counted from the chunk's corner.
void StepRows(int word, int y, int z, uint step, uvec3 offset) {
  uint own[4];
  uint previous[4];
  uint next[4];
  uint movable = 0u;
  for (int row = 0; row < 4; ++row) {
    ivec3 at = ivec3(word, y + (row & 1), z + (row >> 1));
    own[row] = LoadWord(at);
    previous[row] = 0u;
    next[row] = 0u;
    if (offset.x != 0u) {
      previous[row] = LoadWord(at + ivec3(-1, 0, 0));
      next[row] = LoadWord(at + ivec3(1, 0, 0));
    }
    movable |= MovableBits(own[row]) | MovableBits(previous[row]) | MovableBits(next[row]);
  }
  if (movable != 0u) {
    ivec3 chunkCells = chunkOfGroup * int(kChunkEdgeCells);
    uint parts = 2u + offset.x;
    for (uint part = 0u; part < parts; ++part) {
      uint lower = PairOf(previous[0], own[0], next[0], offset.x, part) |
                   (PairOf(previous[1], own[1], next[1], offset.x, part) << 16);
      uint upper = PairOf(previous[2], own[2], next[2], offset.x, part) |
                   (PairOf(previous[3], own[3], next[3], offset.x, part) << 16);
      // The block's corner plus the offset is even and never negative.
      ivec3 corner = chunkCells + ivec3(4 * word + 2 * int(part) - int(offset.x), y, z);
      StepBlock(lower, upper, step, uvec3(corner + ivec3(offset)) >> 1u);
      own[0] = WithPair(own[0], lower & 0xffffu, offset.x, part);
      own[1] = WithPair(own[1], lower >> 16, offset.x, part);
      own[2] = WithPair(own[2], upper & 0xffffu, offset.x, part);
      own[3] = WithPair(own[3], upper >> 16, offset.x, part);
    }
  }
  for (int row = 0; row < 4; ++row) {
    ivec2 at = ivec2(y + (row & 1), z + (row >> 1));
    if (any(lessThan(at, ivec2(0))) || any(greaterThan(at, ivec2(31)))) continue;
    cellsOut[slotOfGroup * kChunkWords + uint(word) + kWordsPerRow * uint(at.x) + kWordsPerLayer * uint(at.y)] = own[row];
  }
}

void main() {
  slotOfGroup = gl_WorkGroupID.x;
  if (slotOfGroup >= frame.world.w) return;
  sandBegin = frame.automaton.z;
  waterBegin = frame.automaton.w;
  uint packed = slotChunks[slotOfGroup];
  chunkOfGroup = ivec3(int(packed & 1023u), int((packed >> 10) & 1023u), int(packed >> 20));
  uint step = frame.automaton.x + push.subStep;
  uvec3 offset = OffsetOfStep(step);
  // Odd offsets have 17 pairs of rows, the first and last cut by the border; even ones have 16.
  uint pairZ = gl_WorkGroupID.y;
  if (pairZ >= 16u + offset.z) return;
  uint pairsY = 16u + offset.y;
  for (uint pairY = gl_LocalInvocationID.y; pairY < pairsY; pairY += 16u) {
    StepRows(int(gl_LocalInvocationID.x), 2 * int(pairY) - int(offset.y), 2 * int(pairZ) - int(offset.z), step, offset);
  }
}
