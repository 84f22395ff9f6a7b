#include "store/index/versions.h"

#include <algorithm>

#include "store/base/bytes.h"

namespace dkfs {
namespace {

constexpr int kNear = 4;  // so many steps are cheaper than one seek

// Moves to the first key that is not a version of `thing`.
void PassThing(KvCursor* cursor, const std::string& thing) {
  for (int steps = 0; cursor->Valid() && WithoutSeq(cursor->key()) == thing; ++steps) {
    if (steps < kNear) {
      cursor->Next();
    } else {
      cursor->Seek(WithSeq(thing, Seq{}) + '\0');
    }
  }
}

// Moves from a version of `thing` to its newest at or before `at`, or behind the thing.
void PassNewer(KvCursor* cursor, const std::string& thing, Seq at) {
  for (int steps = 0; cursor->Valid() && WithoutSeq(cursor->key()) == thing && SeqOf(cursor->key()) > at; ++steps) {
    if (steps < kNear) {
      cursor->Next();
    } else {
      cursor->Seek(WithSeq(thing, at));
    }
  }
}

}  // namespace

std::string_view WithoutSeq(std::string_view key) {
  return key.substr(0, key.size() - std::min(key.size(), kSeqBytes));
}

Seq SeqOf(std::string_view key) { return Seq{key.size() < kSeqBytes ? 0 : ~LoadBe<uint64_t>(key.end() - kSeqBytes)}; }

std::string WithSeq(std::string_view thing, Seq seq) {
  std::string key;
  key.reserve(thing.size() + kSeqBytes + 1);
  key = thing;
  PutBe(&key, ~seq.value);
  return key;
}

Status NewestVersion(const Kv& kv, Family family, std::string_view thing, Seq at, Seq* seq, std::string* value) {
  std::string key;
  DKFS_TRY(kv.SeekPrefix(family, WithSeq(thing, at), thing, &key, value));
  if (key.size() != thing.size() + kSeqBytes) return Status::Corruption("index: key of a version");
  *seq = SeqOf(key);
  return Status::Ok();
}

Status EachVersionOf(const Kv& kv, Family family, std::string_view from, std::string_view end, Seq at,
                     const WalkVersions& each) {
  KvCursor cursor = kv.NewCursor(family, end);
  cursor.Seek(from);
  std::string thing;
  while (cursor.Valid()) {
    thing = WithoutSeq(cursor.key());
    PassNewer(&cursor, thing, at);
    Walk walk = Walk::kOlder;
    while (walk == Walk::kOlder && cursor.Valid() && WithoutSeq(cursor.key()) == thing) {
      DKFS_TRY_ASSIGN(walk, each(thing, SeqOf(cursor.key()), cursor.value()));
      if (walk == Walk::kStop) return Status::Ok();
      cursor.Next();
    }
    PassThing(&cursor, thing);
  }
  return cursor.status();
}

Status EachNewest(const Kv& kv, Family family, std::string_view from, std::string_view end, Seq at,
                  const EachVersion& each) {
  return EachVersionOf(kv, family, from, end, at,
                       [&](std::string_view thing, Seq seq, std::string_view value) -> Result<Walk> {
                         DKFS_TRY_ASSIGN(const bool more, each(thing, seq, value));
                         return more ? Walk::kNextThing : Walk::kStop;
                       });
}

}  // namespace dkfs
