#include "fs/daemon/test_knobs.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "store/base/fault.h"

namespace dkfs {
namespace {

uint64_t NumberFrom(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}

}  // namespace

void ApplyTestKnobs(StoreOptions* options) {
  if (const uint64_t bytes = NumberFrom("DKFS_TEST_SEGMENT_BYTES"); bytes != 0) options->segment_bytes = bytes;
  if (const uint64_t haste = NumberFrom("DKFS_TEST_HASTE"); haste != 0) {
    options->yields = false;
    options->maintain_every = std::chrono::milliseconds(std::max<uint64_t>(10'000 / haste, 1));
    options->clock.monotonic_ns = [haste] { return MonotonicNs() * haste; };
  }
}

void ApplyTestKnobs(ProfilingOptions* options) {
  if (const uint64_t seed = NumberFrom("DKFS_TEST_SHAKE"); seed != 0) {
    options->shake = seed;
    options->interval = std::chrono::milliseconds(2);
    return;
  }
  const uint64_t haste = NumberFrom("DKFS_TEST_HASTE");
  if (haste == 0) return;
  options->interval =
      std::chrono::milliseconds(std::max<uint64_t>(static_cast<uint64_t>(options->interval.count()) / haste, 1));
  options->clock_ns = [haste] { return MonotonicNs() * haste; };
}

void ApplyTestKnobs(DeferOptions* options) {
  const uint64_t bytes = NumberFrom("DKFS_TEST_DEFER");
  if (bytes == 0) return;
  options->least_write_bytes = options->least_file_bytes = bytes;
  const uint64_t quiet = NumberFrom("DKFS_TEST_DEFER_MS");
  options->quiet = std::chrono::milliseconds(quiet == 0 ? 20 : quiet);
}

void WriteFaultPasses() {
  const char* path = std::getenv("DKFS_TEST_PASSES");
  if (path == nullptr) return;
  std::FILE* out = std::fopen(path, "we");
  if (out == nullptr) return;
  for (std::string_view name : Fault::Names()) {
    std::fprintf(out, "%.*s %llu\n", static_cast<int>(name.size()), name.data(),
                 static_cast<unsigned long long>(Fault::Passes(name)));
  }
  std::fclose(out);
}

}  // namespace dkfs
