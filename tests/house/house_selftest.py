#!/usr/bin/python3
"""Plants violations in a small house and sees that the checks of tools/dev find each of them, and nothing else."""
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import sys
import tempfile
import unittest

DEV = pathlib.Path(__file__).resolve().parents[2] / "tools" / "dev"
sys.dont_write_bytecode = True
sys.path.insert(0, str(DEV))


def load(name):
    loader = importlib.machinery.SourceFileLoader(name, str(DEV / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


class HouseTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def plant(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def assert_found(self, violations, *expected):
        self.assertEqual(len(violations), len(expected), violations)
        for violation, part in zip(violations, expected):
            self.assertIn(part, violation)


class LayersTest(HouseTest):
    check = staticmethod(load("check_layers").check)

    def include(self, path, *lines):
        self.plant(path, "".join(f"#include {line}\n" for line in lines))
        return self.check(self.root)

    def test_allowed_arrows_pass(self):
        self.include("fs/ops/a.cc", '"fs/capture/b.h"', '"store/store.h"', "<string>")
        self.include("store/kv/k.cc", "<rocksdb/db.h>", '"store/kv/options.h"')
        self.include("tools/dkfsctl/main.cc", '"store/replay/restore.h"')
        self.include("fs/fuse/s.cc", "<fuse_lowlevel.h>")
        self.assert_found(self.include("tests/unit/x_test.cc", "<rocksdb/db.h>", '"fs/daemon/main.h"'))

    def test_capture_and_hydrate_never_meet(self):
        self.include("fs/capture/a.h", '"fs/hydrate/b.h"')
        self.assert_found(self.include("fs/hydrate/b.h", '"fs/capture/a.h"'), "fs/capture may", "fs/hydrate may")

    def test_journal_and_replay_never_meet(self):
        self.include("store/journal/a.h", '"store/replay/b.h"')
        self.assert_found(self.include("store/replay/b.cc", '"store/journal/a.h"'), "store/journal may", "store/replay may")

    def test_store_is_reached_by_its_facade_only(self):
        self.assert_found(self.include("fs/ops/a.cc", '"store/index/index.h"', '"store/store_impl.h"'),
                          "store/index/index.h", "store/store_impl.h")
        self.assert_found(self.include("fs/ops/a.cc", '"store/replay/restore.h"'), "store/replay/restore.h")

    def test_store_knows_nothing_of_fs(self):
        self.assert_found(self.include("store/store.cc", '"fs/ops/file_system.h"'), "store may not include")

    def test_each_library_has_one_home(self):
        self.assert_found(
            self.include("fs/ops/a.cc", "<rocksdb/db.h>", "<zstd.h>", "<fuse_lowlevel.h>", "<prometheus/counter.h>"),
            "store/kv", "store/codec", "fs/fuse", "fs/daemon")

    def test_unknown_folder_and_relative_include_are_found(self):
        self.assert_found(self.include("store/attic/a.cc", '"store/base/b.h"', '"b.h"'), "not in the table", "not written")

    def test_commented_include_is_none(self):
        self.plant("store/base/a.h", '// #include "fs/ops/x.h"\n/* #include <rocksdb/db.h>\n#include <zstd.h> */\n')
        self.assert_found(self.check(self.root))

    def test_links_follow_the_table(self):
        self.plant("store/index/CMakeLists.txt", "dkfs_library(dkfs_index SOURCES a.cc PUBLIC dkfs_base)\n")
        self.plant("store/base/CMakeLists.txt", "dkfs_library(dkfs_base SOURCES b.cc PUBLIC Threads::Threads)\n")
        self.assert_found(self.check(self.root))
        self.plant("fs/ops/CMakeLists.txt", "dkfs_library(dkfs_ops SOURCES o.cc\n  PUBLIC dkfs_base PRIVATE dkfs_index RocksDB::x)")
        self.assert_found(self.check(self.root), "may not link dkfs_index", "RocksDB::x belongs to store/kv")


class StoreIoTest(HouseTest):
    check = staticmethod(load("check_store_io").check)

    def test_calls_beside_file_are_found(self):
        self.plant("store/kv/a.cc", "void F() {\n  ::fsync(fd);\n  pwrite(fd, p, n, 0);\n  std::ofstream out;\n}\n")
        self.assert_found(self.check(self.root), "a.cc:2: fsync", "a.cc:3: pwrite", "a.cc:4: ofstream")

    def test_methods_comments_and_strings_are_not_calls(self):
        self.plant("store/kv/a.cc", '// write(fd)\nfile->sync();\nf.rename(x);\nLog("::unlink(x)");\nSegment::write(1);\n')
        self.assert_found(self.check(self.root))

    def test_file_cc_may(self):
        self.plant("store/base/file.cc", "::fsync(fd);\n")
        self.plant("store/base/log.cc", "::write(2, p, n);\n::fsync(2);\n")
        self.assert_found(self.check(self.root), "log.cc:2: fsync")


class TestsTest(HouseTest):
    module = load("check_tests")

    def test_unlisted_sources_are_found(self):
        self.plant("tests/unit/a_test.cc", "")
        self.plant("tests/unit/b_test.cc", "")
        entry = {"directory": str(self.root), "file": str(self.root / "tests/unit/a_test.cc")}
        self.plant("build/compile_commands.json", json.dumps([entry]))
        found = list(self.module.unbuilt(self.root, self.module.compiled(self.root / "build")))
        self.assert_found(found, "tests/unit/b_test.cc")

    def test_micro_benchmarks_are_built_all_or_none(self):
        for name in ("a", "b"):
            self.plant(f"tests/bench/micro/{name}.cc", "")
        self.plant("tests/unit/a_test.cc", "")
        built = {os.path.realpath(self.root / "tests/unit/a_test.cc")}
        self.assert_found(list(self.module.unbuilt(self.root, built)))
        built.add(os.path.realpath(self.root / "tests/bench/micro/a.cc"))
        self.assert_found(list(self.module.unbuilt(self.root, built)), "tests/bench/micro/b.cc")

    def test_uncollected_python_is_found(self):
        self.plant("tests/e2e/test_a.py", "")
        self.plant("tests/e2e/test_b.py", "")
        self.plant("tests/attic/test_c.py", "")
        found = list(self.module.uncollected(self.root, lambda root, home: ({"tests/e2e/test_a.py"}, "")))
        self.assert_found(found, "tests/e2e/test_b.py", "tests/attic/test_c.py")

    def test_failed_collection_is_found(self):
        self.plant("tests/e2e/test_a.py", "")
        found = list(self.module.uncollected(self.root, lambda root, home: (None, "SyntaxError")))
        self.assert_found(found, "SyntaxError")


class TextTest(HouseTest):
    check = staticmethod(load("check_text").check)

    def test_dead_links_are_found(self):
        self.plant("docs/a.md", "# One two\n[x](b.md) [y](a.md#one-two) [z](#three) [w](https://example.org/q)\n```\n[n](m)\n```\n")
        self.assert_found(self.check(self.root), "b.md: no such file", "#three: no such heading")

    def test_machine_paths_are_found(self):
        self.plant("docs/a.md", "see /wo" + "rk/main\n")
        self.plant("x.cc", "fs/wo" + "rk/y\n")
        self.assert_found(self.check(self.root), "names one machine")


class FuzzTest(HouseTest):
    check = staticmethod(load("check_fuzz").check)

    def test_decoders_without_a_target_are_found(self):
        self.plant("store/a/x.h", "Status DecodeX(Bytes data, X* out);\nResult<Y> ParseY(std::string_view text);\n"
                                  "Status Decode(Bytes data, Zed* out);\nStatus DecodeSeen(Bytes data, S* out);\n")
        self.plant("tests/fuzz/seen_fuzz.cc", "DecodeSeen(x); PatchRanges; Decompress; RsyncPatch;")
        self.assert_found(list(self.check(self.root)), "DecodeX", "ParseY", "Decode of Zed")


class HelpTest(HouseTest):
    module = load("check_help")

    def test_differences_are_found(self):
        found = list(self.module.differences("x", {"--a-b", "--only-help"}, {"--a-b", "--only-man"}, {"--only-help"}))
        self.assert_found(found, "--only-help is in --help", "--only-man is in the man page", "--a-b has no completion")

    def test_a_setting_without_its_word_or_variable_is_found(self):
        man = ".BR both= ,\n.BR old= ,\nlike a-word=x, in\n.BR DKFS_BOTH , DKFS_OLD , DKFS_OPTIONS\n"
        found = list(self.module.other_spellings({"--help", "--both", "--a-word"}, man))
        self.assert_found(found, "a-word= is missing", "old= is in the man page", "DKFS_A_WORD is missing",
                          "DKFS_OLD is in the man page")


if __name__ == "__main__":
    unittest.main()
