// Runs a fuzz target on its seeds, on damage of them and on random bytes: the same inputs on each run with the same
// seed.
//   fuzz_X [COUNT [SEED]]       default 40000 inputs, seed 1
//   fuzz_X --write DIR          writes the seeds as files: a corpus for libFuzzer to start from
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/fuzz/fuzz.h"

namespace {

using dkfs::test::Random;

void RunOne(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

int WriteSeeds(const std::string& dir) {
  Random random(1);
  int n = 0;
  for (const std::string& seed : dkfs::fuzz::Seeds(&random)) {
    std::ofstream out(dir + "/seed" + std::to_string(n++), std::ios::binary);
    if (!(out << seed)) return 1;
  }
  return 0;
}

void Run(uint64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<std::string> seeds = dkfs::fuzz::Seeds(&random);
  for (const std::string& input : seeds) {
    RunOne(input);
    for (size_t n = 0; n < input.size() && n < 300; ++n) RunOne(input.substr(0, n));
  }
  for (uint64_t i = 0; i < count; ++i) {
    if (random.OneIn(2000)) seeds = dkfs::fuzz::Seeds(&random);
    RunOne(random.OneIn(20) ? random.Text(random.Below(300)) : Mutate(&random, seeds[random.Below(seeds.size())]));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--write") return WriteSeeds(argv[2]);
  const uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 0) : 40000;
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1;
  std::printf("%" PRIu64 " inputs, seed %" PRIu64 "\n", count, seed);
  std::fflush(stdout);
  Run(count, seed);
}
