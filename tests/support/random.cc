#include "tests/support/random.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

namespace dkfs::test {
namespace {

constexpr uint64_t kBoundaries[] = {0,
                                    1,
                                    7,
                                    8,
                                    0x7f,
                                    0x80,
                                    0xff,
                                    0xffff,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    0xffffffffffffffff};

void PutBoundary(Random* random, std::string* text) {
  const uint64_t value = kBoundaries[random->Below(std::size(kBoundaries))];
  const size_t width = std::min<size_t>(size_t{1} << random->Below(4), text->size());
  std::memcpy(text->data() + random->Below(text->size() - width + 1), &value, width);
}

void MutateOnce(Random* random, std::string* text) {
  if (text->empty()) {
    *text = random->Text(random->Below(64) + 1);
    return;
  }
  const size_t at = random->Below(text->size());
  switch (random->Below(7)) {
    case 0:
      (*text)[at] = static_cast<char>((*text)[at] ^ (1 << random->Below(8)));
      break;
    case 1:
      (*text)[at] = static_cast<char>(random->Next());
      break;
    case 2:
      text->resize(at);
      break;
    case 3:
      text->insert(at, random->Text(random->Below(16) + 1));
      break;
    case 4:
      text->erase(at, random->Below(16) + 1);
      break;
    case 5:
      text->insert(at, text->substr(random->Below(text->size()), random->Below(64) + 1));
      break;
    default:
      PutBoundary(random, text);
      break;
  }
}

}  // namespace

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

uint64_t Random::Magnitude() { return Next() >> Below(64); }

std::string Random::Text(size_t bytes) {
  std::string text(bytes, '\0');
  Overwrite(&text, 0, bytes);
  return text;
}

std::string Random::Name(size_t max_bytes) {
  std::string name(Below(max_bytes) + 1, '\0');
  for (char& c : name) c = static_cast<char>('a' + Below(26));
  return name;
}

void Random::Overwrite(std::string* text, size_t at, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) (*text)[at + i] = static_cast<char>(Next());
}

uint64_t TestSeed() {
  const char* given = std::getenv("DKFS_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  std::printf("DKFS_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

std::string Mutate(Random* random, std::string_view input) {
  std::string text(input);
  for (uint64_t left = random->Below(4) + 1; left > 0; --left) MutateOnce(random, &text);
  return text;
}

}  // namespace dkfs::test
