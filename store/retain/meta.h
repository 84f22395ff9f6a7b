// Retention's rows in the meta family. All begin with "retain/".
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/kv/kv.h"

namespace dkfs::retain::meta {

inline constexpr std::string_view kHorizon = "retain/horizon";         // -> Seq
inline constexpr std::string_view kClock = "retain/clock";             // -> see ages.h
inline constexpr std::string_view kAge = "retain/age/";                // age -> Seq
inline constexpr std::string_view kPin = "retain/pin/";                // base file, base Seq, pack -> nothing
inline constexpr std::string_view kPublishing = "retain/publishing/";  // pack -> nothing; see publish.h
inline constexpr std::string_view kDamaged = "retain/damaged/";  // segment -> nothing; never taken as a source again

inline std::string Key(std::string_view prefix, uint64_t id) {
  std::string key(prefix);
  PutBe(&key, id);
  return key;
}
inline std::string Value(uint64_t v) {
  std::string value;
  PutLe(&value, v);
  return value;
}

// Calls `each` with what follows the prefix, and the value, of every row under it, until it returns an error.
inline Status Each(const Kv& kv, std::string_view prefix, const std::function<Status(Bytes, Bytes)>& each) {
  std::string end(prefix);
  ++end.back();
  KvCursor cursor = kv.NewCursor(Family::kMeta, end);
  for (cursor.Seek(prefix); cursor.Valid(); cursor.Next()) {
    DKFS_TRY(each(AsBytes(cursor.key()).subspan(prefix.size()), AsBytes(cursor.value())));
  }
  return cursor.status();
}

}  // namespace dkfs::retain::meta
