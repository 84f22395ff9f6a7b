// Walking over keys that end in ~Seq: of each thing, the version in force at a moment.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/base/status.h"
#include "store/format/ids.h"
#include "store/kv/kv.h"

namespace dkfs {

inline constexpr size_t kSeqBytes = 8;

std::string_view WithoutSeq(std::string_view key);
Seq SeqOf(std::string_view key);
std::string WithSeq(std::string_view thing, Seq seq);

// The version of `thing` in force at `at`: one seek. ENOENT when there is none.
Status NewestVersion(const Kv& kv, Family family, std::string_view thing, Seq at, Seq* seq, std::string* value);

// Calls `each` for the versions at or before `at` of every thing with keys in [from, end): things in key order, of each
// the newest first and then as many as `each` asks for, until it says kStop or returns an error. Passes over history by
// seeking when there is much of it.
enum class Walk { kOlder, kNextThing, kStop };
using WalkVersions = std::function<Result<Walk>(std::string_view thing, Seq seq, std::string_view value)>;
Status EachVersionOf(const Kv& kv, Family family, std::string_view from, std::string_view end, Seq at,
                     const WalkVersions& each);

// The newest of each thing alone, until `each` returns false or an error.
using EachVersion = std::function<Result<bool>(std::string_view thing, Seq seq, std::string_view value)>;
Status EachNewest(const Kv& kv, Family family, std::string_view from, std::string_view end, Seq at,
                  const EachVersion& each);

}  // namespace dkfs
