#!/usr/bin/env python3
"""The layer check must see planted faults."""
import pathlib
import tempfile
import unittest

import check_layers


class MayInclude(unittest.TestCase):
    def test_downward_and_own_are_legal(self):
        self.assertTrue(check_layers.may_include("runtime", "stadial/arenas/arena.h"))
        self.assertTrue(check_layers.may_include("runtime", "stadial/runtime/phase.h"))
        self.assertTrue(check_layers.may_include("arenas", "vector"))

    def test_upward_is_a_fault(self):
        self.assertFalse(check_layers.may_include("arenas", "stadial/runtime/phase.h"))
        self.assertFalse(check_layers.may_include("runtime", "/x/graph/include/stadial/graph/node.h"))
        self.assertFalse(check_layers.may_include("graph", "stadial/gpu/device.h"))

    def test_vulkan_belongs_to_gpu(self):
        for path in ("vulkan/vulkan.h", "/usr/include/vulkan/vulkan_core.h", "volk.h", "/usr/include/volk.h"):
            self.assertFalse(check_layers.may_include("graph", path), path)
            self.assertTrue(check_layers.may_include("gpu", path), path)
        self.assertTrue(check_layers.may_include("graph", "stadial/graph/involk.h"))


class WrittenFaults(unittest.TestCase):
    def test_planted_faults_are_found(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "runtime" / "src").mkdir(parents=True)
            (root / "runtime" / "src" / "a.cpp").write_text(
                '#include "stadial/arenas/arena.h"\n  #  include <stadial/graph/node.h>\n#include <vulkan/vulkan.h>\n')
            self.assertEqual(check_layers.written_faults(root, "runtime"),
                             [("runtime/src/a.cpp", "stadial/graph/node.h"), ("runtime/src/a.cpp", "vulkan/vulkan.h")])


if __name__ == "__main__":
    unittest.main()
