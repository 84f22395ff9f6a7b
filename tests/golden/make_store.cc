// golden_make DIR: makes the sample store DIR/store, unclean, and DIR/seq-N.tree for some of its moments.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/golden/sample.h"

int main(int argc, char** argv) {
  using namespace dkfs;
  if (argc != 2) {
    std::fprintf(stderr, "usage: golden_make DIR\n");
    return 2;
  }
  const std::string dir = argv[1];
  const golden::Sample sample = golden::MakeSample(dir + "/store", {.seed = 1, .clean = false});
  std::filesystem::remove(dir + "/store/journal/reserve");  // empty space; made again at the next open
  const size_t step = sample.moments.size() / 8;
  size_t n = 0;
  for (const auto& [seq, tree] : sample.moments) {
    const bool last = ++n == sample.moments.size();
    if (n % step != 1 && !last) continue;
    std::ofstream out(dir + "/seq-" + std::to_string(seq.value) + ".tree");
    out << golden::TreeText(tree);
  }
  return 0;
}
