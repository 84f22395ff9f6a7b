// Rows: what one item puts into the index. Pure: the same item gives the same rows, whatever is there already.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/journal/journal.h"
#include "store/kv/kv.h"

namespace dkfs {

// Called for each row. The views are valid during the call.
using RowSink = std::function<void(Family, std::string_view key, std::string_view value)>;

// Calls `sink` for each row of `item` out of the record at `at`. `references` holds the payloads of kReference versions
// and is used up from the front. VoidItem has no rows.
void EachRow(const Item& item, const Appended& at, std::string_view* references, const RowSink& sink);

// A place between the moments where time went back; SeqAt searches each piece between two of them by halves.
std::string StepKey(Seq seq);
std::string StepPrefix();

// xattr values carry one byte in front: 1 for a value, 0 for a tombstone.
inline constexpr char kXattrLive = 1;
inline constexpr char kXattrGone = 0;
// link values are one byte: 1. A link that ended is seen by its directory entry.
inline constexpr char kLinkLive = 1;

inline bool IsGone(const InodeState& state) { return state.nlink == 0 && state.mode == 0; }

}  // namespace dkfs
