// rocksdb::Status -> Status, and the little there is to convert between strings.
#pragma once

#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

inline rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

// ENOENT (no sentence) for a missing key; EUCLEAN for damaged or missing files; ENOSPC; EIO else.
Status FromRocks(const rocksdb::Status& status, std::string_view doing);

}  // namespace dkfs
