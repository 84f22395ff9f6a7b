// The layouts that the profiler chooses from, and what it looks at when it does.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/hotness.h"
#include "store/base/status.h"
#include "store/format/inode_state.h"

namespace dkfs {

// In words: "8K delta z3 fold24": block size 4K to 1M, delta or whole, zstd's level z1, z3, z9 or raw, most deltas in a
// chain fold8, fold24, fold48 or fold96, and `long` for long frames in packs.
std::string LayoutText(const FileLayout& layout);
// Words in any order; what is left out is as in the default. EINVAL names the word that is none.
Result<FileLayout> ParseLayout(std::string_view text);

// Each shape (block size, delta, fold interval) in each way of packing. A few shapes that span the space: the model
// learns which of them, so neighbours that never differ are left out.
const std::vector<FileLayout>& LayoutChoices();
struct Packing {
  uint8_t level = 3;  // zstd's; 0: raw
  bool long_frames = false;
};
// Of each shape, in this order. With a long window zstd's quickest level finds most.
inline constexpr std::array<Packing, 5> kPackings = {{{3, false}, {1, false}, {9, false}, {0, false}, {1, true}}};
inline constexpr size_t ShapeOf(size_t choice) { return choice / kPackings.size(); }
inline constexpr const Packing& PackingOf(size_t choice) { return kPackings[choice % kPackings.size()]; }
inline constexpr uint64_t Bit(size_t choice) { return uint64_t{1} << choice; }
uint64_t PackedAs(size_t choice);            // the choices that are packed as this one, a bit each
inline constexpr size_t kDefaultChoice = 0;  // of LayoutChoices()
// The one that is most like it: of the same block size if there is one.
size_t NearestChoice(const FileLayout& layout);

// How a file is written, in classes coarse enough that files teach each other.
struct WriteContext {
  uint8_t size = 0;      // small (to 4 KiB), page (to 16 KiB), large (to 256 KiB), huge
  uint8_t order = 0;     // scattered, mixed, sequential
  uint8_t rewrites = 0;  // never, some, mostly
  bool packed = false;   // nothing makes the bytes smaller: already compressed, or encrypted
  bool stream() const { return order == 2 && rewrites == 0; }
  uint32_t index() const { return ((size * 3u + order) * 3u + rewrites) * 2u + (packed ? 1 : 0); }
  std::string ToString() const;
};
inline constexpr size_t kWriteContexts = 4 * 3 * 3 * 2;
// The choices worth trying for what is written so, a bit each. A block that is much larger than the writes is recorded,
// or compared, whole for each of them; one that is much smaller costs a row for each and saves nothing.
// Long frames are for streams: who reads one block of something else pays for 7 MiB.
uint64_t SaneChoices(const WriteContext& context);

// `pages` and `rewritten` are sums over the file's extents. All counts: what happened since the last look.
WriteContext ContextOf(const hotness_file& counts, uint64_t pages, uint64_t rewritten);

}  // namespace dkfs
