// A fuzz target: one file for each decoder, which defines these two. Built with libFuzzer (-DDKFS_FUZZ=ON, clang), and
// always with driver.cc, which feeds it seeds and seeded damage of them in a test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "store/base/bytes.h"
#include "tests/support/random.h"

// Takes any bytes; aborts when a decoder breaks its promise.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace dkfs::fuzz {

// Some well-formed inputs.
std::vector<std::string> Seeds(test::Random* random);

inline Bytes Input(const uint8_t* data, size_t size) { return {reinterpret_cast<const std::byte*>(data), size}; }
inline MutableBytes Room(std::string* text) { return {reinterpret_cast<std::byte*>(text->data()), text->size()}; }

}  // namespace dkfs::fuzz
