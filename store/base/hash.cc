#define XXH_STATIC_LINKING_ONLY  // the size of the state
#include "store/base/hash.h"

#include <xxhash.h>
#ifdef DKFS_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>  // the widest vectors that this CPU has, chosen at run time
#endif

#include <algorithm>
#include <new>

#include "store/base/status.h"

namespace dkfs {
namespace {

XXH3_state_t* State(unsigned char* p) { return std::launder(reinterpret_cast<XXH3_state_t*>(p)); }
const XXH3_state_t* State(const unsigned char* p) { return std::launder(reinterpret_cast<const XXH3_state_t*>(p)); }

}  // namespace

static_assert(sizeof(XXH3_state_t) <= 576);

uint64_t Hash64(Bytes data, uint64_t seed) { return XXH3_64bits_withSeed(data.data(), data.size(), seed); }

uint64_t HashZeroPadded(Bytes data, size_t total_size) {
  static const std::byte kZeros[4096] = {};
  if (data.size() == total_size) return Hash64(data);
  Hasher hasher;
  hasher.Update(data);
  for (size_t left = total_size - data.size(); left > 0;) {
    const size_t n = std::min(left, sizeof kZeros);
    hasher.Update({kZeros, n});
    left -= n;
  }
  return hasher.Finish();
}

Hasher::Hasher(uint64_t seed) {
  XXH3_INITSTATE(new (state_) XXH3_state_t);
  DKFS_CHECK(XXH3_64bits_reset_withSeed(State(state_), seed) == XXH_OK);
}
Hasher::~Hasher() = default;
void Hasher::Update(Bytes part) { DKFS_CHECK(XXH3_64bits_update(State(state_), part.data(), part.size()) == XXH_OK); }
uint64_t Hasher::Finish() const { return XXH3_64bits_digest(State(state_)); }

}  // namespace dkfs
