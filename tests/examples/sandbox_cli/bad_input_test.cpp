// Bad input gets one clear line and exit code 2, never a crash.
#include <gtest/gtest.h>

#include "run_program.h"
#include "vox_bytes.h"

namespace stadial::tests {
namespace {

using namespace std::string_literals;

std::string SmallVox() {
  return VoxOf(Chunk("SIZE", Little(2) + Little(2) + Little(2)) + Chunk("XYZI", Little(1) + "\1\1\1\1"s));
}

class BadInput : public ::testing::Test {
 protected:
  ProgramResult RunSandbox(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    // A default place for pictures, so that nothing is left in the folder that ctest runs in.
    arguments.insert(arguments.begin(), {"--out", folder_.File("out")});
    return RunProgram(
        {.program = SANDBOX_PROGRAM, .arguments = arguments, .environment = std::move(environment)});
  }

  void ExpectOneLine(const ProgramResult& result, std::initializer_list<const char*> words) {
    EXPECT_EQ(result.exitCode, 2) << result.Describe();
    EXPECT_EQ(result.signal, 0) << result.Describe();
    EXPECT_EQ(result.ErrLines(), 1u) << result.Describe();
    EXPECT_TRUE(result.err.starts_with("sandbox: ")) << result.Describe();
    EXPECT_EQ(result.out, "") << result.Describe();
    for (const char* word : words)
      EXPECT_TRUE(result.ErrContains(word)) << "no '" << word << "' in: " << result.err;
  }
  void ExpectRefused(std::vector<std::string> arguments, std::initializer_list<const char*> words) {
    ExpectOneLine(RunSandbox(std::move(arguments)), words);
  }
  void ExpectSceneRefused(const std::string& contents, std::initializer_list<const char*> words) {
    ExpectRefused({"--scene", folder_.Write("bad.vox", contents)}, words);
  }

  TemporaryFolder folder_;
};

TEST_F(BadInput, ControlTheSmallSceneOfTheseTestsIsGood) {
  if (!HasDevice(kLavapipe) && !HasDevice(kSwiftShader))
    GTEST_SKIP() << "no software Vulkan driver on this machine";
  const ProgramResult result = RunSandbox({"--scene", folder_.Write("small.vox", SmallVox()), "--frames", "2",
                                           "--size", "16x16", "--gate", "count"});
  EXPECT_NE(result.exitCode, 2) << result.Describe();
  EXPECT_EQ(result.signal, 0) << result.Describe();
}

TEST_F(BadInput, Z1_SizingProfilesThatAreNone) {
  for (const char* const option : {"--sizing-profile", "--sizing-check"}) {
    ExpectRefused({option, folder_.Write("bad.json", "{\"format\": \"stadial")}, {"bad.json"});
    ExpectRefused({option, folder_.Write("bad.json", std::string(2 << 20, '['))}, {"bad.json"});
    ExpectRefused({option, folder_.Path()}, {folder_.Path().c_str()});
  }
  ExpectRefused({"--sizing-check", folder_.File("none.json")}, {"none.json", "No such file"});
}
TEST_F(BadInput, MissingScene) {
  ExpectRefused({"--scene", folder_.File("none.vox")}, {"none.vox", "No such file"});
}
TEST_F(BadInput, SceneIsAFolder) { ExpectRefused({"--scene", folder_.Path()}, {folder_.Path().c_str()}); }
TEST_F(BadInput, SceneIsEmpty) { ExpectSceneRefused("", {"bad.vox"}); }
TEST_F(BadInput, SceneIsNoVox) {
  ExpectSceneRefused("\x89PNG\r\n\x1a\n and so on, and on", {"bad.vox", "VOX"});
}
TEST_F(BadInput, SceneIsTruncated) {
  const std::string whole = SmallVox();
  for (std::size_t bytes = 1; bytes < whole.size(); bytes += 7)
    ExpectSceneRefused(whole.substr(0, bytes), {"bad.vox"});
}
TEST_F(BadInput, SceneHasNoModel) { ExpectSceneRefused(VoxOf({}), {"bad.vox"}); }
TEST_F(BadInput, SceneClaimsAHugeChunk) {
  ExpectSceneRefused("VOX "s + Little(150) + "MAIN" + Little(0) + Little(0xffffffffU), {"bad.vox", "MAIN"});
}
TEST_F(BadInput, SceneClaimsManyVoxels) {
  ExpectSceneRefused(VoxOf(Chunk("SIZE", Little(2) + Little(2) + Little(2)) +
                           Chunk("XYZI", Little(0x7fffffffU) + "\1\1\1\1"s)),
                     {"bad.vox", "XYZI"});
}
TEST_F(BadInput, SceneClaimsAHugeModel) {
  ExpectSceneRefused(VoxOf(Chunk("SIZE", Little(0x7fffffffU) + Little(2) + Little(2)) +
                           Chunk("XYZI", Little(1) + "\1\1\1\1"s)),
                     {"bad.vox", "SIZE"});
}
TEST_F(BadInput, SceneHasAVoxelOutsideItsModel) {
  ExpectSceneRefused(
      VoxOf(Chunk("SIZE", Little(2) + Little(2) + Little(2)) + Chunk("XYZI", Little(1) + "\7\1\1\1"s)),
      {"bad.vox"});
}

TEST_F(BadInput, UnknownDevice) { ExpectRefused({"--device", "no such device"}, {"no such device"}); }
TEST_F(BadInput, DeviceNumberOutOfRange) { ExpectRefused({"--device", "#99"}, {"#99"}); }
TEST_F(BadInput, NoVulkanDriver) {
  const ProgramResult result =
      RunSandbox({}, {"VK_DRIVER_FILES=" + folder_.File("none.json"), "VK_ICD_FILENAMES="});
  ExpectOneLine(result, {"Vulkan", "driver"});
}
TEST_F(BadInput, NoVulkanDriverForTheList) {
  ExpectOneLine(
      RunSandbox({"--list-devices"}, {"VK_DRIVER_FILES=" + folder_.File("none.json"), "VK_ICD_FILENAMES="}),
      {"Vulkan"});
}

TEST_F(BadInput, OutIsAFile) { ExpectRefused({"--out", folder_.Write("file", "x")}, {"--out", "file"}); }
TEST_F(BadInput, OutIsBelowAFile) {
  ExpectRefused({"--out", folder_.Write("file", "x") + "/pictures"}, {"--out", "pictures"});
}
TEST_F(BadInput, OutCannotBeMade) {
  ExpectRefused({"--out", "/proc/sandbox/pictures"}, {"--out", "/proc/sandbox"});
}
TEST_F(BadInput, JsonCannotBeWritten) {
  ExpectRefused({"--json", folder_.File("none/audit.json")}, {"--json", "audit.json"});
}
TEST_F(BadInput, JsonIsAFolder) {
  ExpectRefused({"--json", folder_.Path()}, {"--json", folder_.Path().c_str()});
}
TEST_F(BadInput, CellsCannotBeWritten) {
  ExpectRefused({"--cells", folder_.File("none/cells")}, {"--cells"});
}

TEST_F(BadInput, AbsurdSizes) {
  for (const char* size :
       {"0x0", "1x1", "7x100", "100x7", "100000x100000", "8193x8", "99999999999999999999x8"}) {
    ExpectRefused({"--size", size}, {"--size", size, "8192"});
  }
  ExpectRefused({"--size", "8000x8000"}, {"--size", "64000000 pixels", "8294400"});
}
TEST_F(BadInput, SizesThatAreNone) {
  for (const char* size :
       {"640", "640x", "x360", "640*360", "640x360x2", "-640x360", "6 40x360", "0x10x20"}) {
    ExpectRefused({"--size", size}, {"--size", "640x360"});
  }
}
TEST_F(BadInput, Numbers) {
  ExpectRefused({"--frames", "0"}, {"--frames", "0 is out of range", "1 to 10000000"});
  ExpectRefused({"--frames", "10000001"}, {"--frames"});
  ExpectRefused({"--frames", "99999999999999999999999"}, {"--frames", "out of range"});
  ExpectRefused({"--frames", "many"}, {"--frames", "many", "whole number"});
  ExpectRefused({"--frames=-5"}, {"--frames", "-5"});
  ExpectRefused({"--frames", "1e3"}, {"--frames", "1e3"});
  ExpectRefused({"--frames-in-flight", "0"}, {"--frames-in-flight", "1 to 8"});
  ExpectRefused({"--frames-in-flight", "99"}, {"--frames-in-flight", "99", "1 to 8"});
  ExpectRefused({"--seed", "4294967296"}, {"--seed"});
  ExpectRefused({"--steps-per-frame", "17"}, {"--steps-per-frame", "0 to 16"});
  ExpectRefused({"--save-every", "0"}, {"--save-every"});
  ExpectRefused({"--world-mib", "0"}, {"--world-mib"});
  ExpectRefused({"--turn", "round"}, {"--turn"});
  ExpectRefused({"--turn", "nan"}, {"--turn"});
}
TEST_F(BadInput, TooManyPictures) {
  ExpectRefused({"--frames", "10000000", "--save-every", "1"}, {"--save-every", "MiB"});
  ExpectRefused({"--frames", "600", "--save-every", "1", "--size", "1920x1080"},
                {"--save-every", "600 pictures"});
}
TEST_F(BadInput, Resizes) {
  ExpectRefused({"--resize-at", "100"}, {"--resize-at", "100:320x180"});
  ExpectRefused({"--resize-at", "0:320x180"}, {"--resize-at"});
  ExpectRefused({"--resize-at", "10:0x0"}, {"--resize-at", "0x0"});
  ExpectRefused({"--frames", "10", "--resize-at", "10:320x180"}, {"--resize-at", "frame 10", "0 to 9"});
}
TEST_F(BadInput, GatePolicy) {
  ExpectRefused({"--gate", "deny"}, {"--gate", "deny", "allow, count, report or trap"});
}
TEST_F(BadInput, Camera) {
  ExpectRefused({"--camera", "here"}, {"camera", "here"});
  ExpectRefused({"--camera", ""}, {"camera"});
  ExpectRefused({"--camera", "0,90,10"}, {"camera", "pitch"});
}
TEST_F(BadInput, ColourLists) { ExpectRefused({"--sand", "256"}, {"256"}); }
TEST_F(BadInput, UnknownOption) { ExpectRefused({"--colour", "red"}, {"--colour", "--help"}); }
TEST_F(BadInput, StrayArgument) { ExpectRefused({"scene.vox"}, {"scene.vox", "--help"}); }
TEST_F(BadInput, MissingValue) { ExpectRefused({"--frames"}, {"--frames", "--help"}); }
TEST_F(BadInput, CanaryNeedsACanaryBuild) { ExpectRefused({"--canary", "alloc@100"}, {"--canary"}); }

TEST_F(BadInput, AddressSpaceTooSmall) {
  if (SANDBOX_IS_SANITIZED) GTEST_SKIP() << "a sanitizer needs terabytes of address space itself";
  // KiB. Below the first the C library cannot even start; from 4 GiB on it may run, more slowly.
  for (const std::size_t kib : {60'000u, 120'000u, 250'000u, 500'000u, 1'000'000u}) {
    const ProgramResult result =
        RunProgram({.program = SANDBOX_PROGRAM,
                    .arguments = {"--out", folder_.File("out"), "--frames", "2", "--size", "16x16"},
                    .addressSpaceKib = kib});
    ExpectOneLine(result, {});
    EXPECT_TRUE(result.ErrContains("ulimit") || result.ErrContains("memory"))
        << kib << " KiB: " << result.Describe();
  }
}

}  // namespace
}  // namespace stadial::tests
