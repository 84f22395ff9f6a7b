#include "store/retain/pins.h"

#include <algorithm>

#include "store/retain/meta.h"

namespace dkfs::retain {
namespace {

std::string PinKey(const Pins::Moment& moment, SegmentId pack) {
  std::string key = meta::Key(meta::kPin, moment.file.value);
  PutBe(&key, moment.at.value);
  PutBe(&key, pack.value);
  return key;
}

}  // namespace

Status Pins::Load(const Kv& kv) {
  by_pack_.clear();
  moments_.clear();
  return meta::Each(kv, meta::kPin, [&](Bytes key, Bytes) {
    if (key.size() != 24) return Status::Corruption("retention pin row");
    ByteReader in(key);
    Moment moment;
    moment.file = FileId{in.Be<uint64_t>()};
    moment.at = Seq{in.Be<uint64_t>()};
    if (by_pack_[SegmentId{in.Be<uint64_t>()}].insert(moment).second) ++moments_[moment];
    return Status::Ok();
  });
}

void Pins::Add(SegmentId pack, const std::set<Moment>& moments, KvBatch* batch) {
  for (const Moment& moment : moments) {
    if (by_pack_[pack].insert(moment).second) ++moments_[moment];
    batch->Put(Family::kMeta, PinKey(moment, pack), {});
  }
}

void Pins::Remove(SegmentId pack, KvBatch* batch) {
  const auto found = by_pack_.find(pack);
  if (found == by_pack_.end()) return;
  for (const Moment& moment : found->second) {
    batch->Delete(Family::kMeta, PinKey(moment, pack));
    if (--moments_[moment] == 0) moments_.erase(moment);
  }
  by_pack_.erase(found);
}

std::vector<Seq> Pins::Of(FileId file) const {
  std::vector<Seq> found;
  for (auto it = moments_.lower_bound({file, Seq{}}); it != moments_.end() && it->first.file == file; ++it) {
    found.push_back(it->first.at);
  }
  return found;
}

bool Pins::IsOverdue(SegmentId pack, Seq horizon, bool at_once) const {
  const auto found = by_pack_.find(pack);
  if (found == by_pack_.end()) return false;
  const auto left = [&](const Moment& m) { return m.at < horizon; };
  return at_once ? std::any_of(found->second.begin(), found->second.end(), left)
                 : std::all_of(found->second.begin(), found->second.end(), left);
}

}  // namespace dkfs::retain
