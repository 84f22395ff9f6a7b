// Seeded randomness for property tests and fuzz drivers: the same seed gives the same run on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dkfs::test {

// SplitMix64.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t n) { return Next() % n; }  // REQUIRES: n > 0
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  uint64_t Magnitude();                                        // any number of bits is equally likely
  std::string Text(size_t bytes);                              // any bytes
  std::string Name(size_t max_bytes);                          // 1..max_bytes letters
  void Overwrite(std::string* text, size_t at, size_t bytes);  // REQUIRES: inside of *text

 private:
  uint64_t state_;
};

// DKFS_TEST_SEED, or a new one each run. Printed, so that a failure can be repeated.
uint64_t TestSeed();

// `input` with one to four small damages: bits flipped, bytes changed, cut, added, moved, boundary numbers put in.
std::string Mutate(Random* random, std::string_view input);

}  // namespace dkfs::test
