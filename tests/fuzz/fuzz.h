// A fuzz target: one file for each decoder, which defines these two. Built with libFuzzer (-DDKFS_FUZZ=ON, clang), and
// always with driver.cc, which feeds it seeds and seeded damage of them in a test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "tests/support/random.h"

// Takes any bytes; aborts when a decoder breaks its promise.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace dkfs::fuzz {

// Some well-formed inputs.
std::vector<std::string> Seeds(test::Random* random);

inline Bytes Input(const uint8_t* data, size_t size) { return {reinterpret_cast<const std::byte*>(data), size}; }
// For codecs: two bytes, the size that results, then what is decoded to it.
template <class Decode>
void DecodeSized(const uint8_t* data, size_t size, const Decode& decode) {
  if (size < 2) return;
  std::string out(LoadLe<uint16_t>(data), '\0');
  const Status status = decode(Bytes(reinterpret_cast<const std::byte*>(data + 2), size - 2),
                               MutableBytes(reinterpret_cast<std::byte*>(out.data()), out.size()));
  DKFS_CHECK(status.ok() || status.IsCorruption());
}
// Seeds for it: texts of which half compress well. `encode(i, text, out)` appends the i-th to *out.
template <class Encode>
std::vector<std::string> SizedSeeds(test::Random* random, const Encode& encode) {
  std::vector<std::string> seeds;
  for (int i = 0; i < 8; ++i) {
    std::string text = random->Name(255) + random->Name(255);
    if (i % 2 != 0) text += text + std::string(random->Below(5000), 'x');
    std::string& seed = seeds.emplace_back();
    PutLe(&seed, static_cast<uint16_t>(text.size()));
    encode(i, text, &seed);
  }
  return seeds;
}

inline MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

}  // namespace dkfs::fuzz
