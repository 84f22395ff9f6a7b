// A plain model of all histories: the list of records, and every question answered by reading all of it.
#pragma once

#include <map>
#include <random>
#include <set>

#include "tests/unit/store/index/rig.h"

namespace dkfs {

class Model {
 public:
  void Append(const std::vector<Item>& items, TimeSpec time) {
    records_.push_back({items, time});
    for (const Item& item : items) {
      if (const auto* voided = std::get_if<VoidItem>(&item.body)) voided_[voided->seq.value] = records_.size();
    }
  }
  void Cut(size_t keep) {
    records_.resize(keep);
    std::erase_if(voided_, [&](const auto& entry) { return entry.second > keep; });
  }
  size_t size() const { return records_.size(); }
  // A record that may still be voided: only writes are, and of name changes only the last record (nothing built on it).
  bool MayVoid(uint64_t seq) const {
    const Item& item = records_[seq - 1].items[0];
    return !voided_.contains(seq) && !std::holds_alternative<VoidItem>(item.body) &&
           (seq == records_.size() || !std::holds_alternative<NameItem>(item.body));
  }

  // Calls fn(Seq in force, body) for every item of type T at or before `at`, oldest Seq first.
  template <class T, class Fn>
  void Each(Seq at, const Fn& fn) const {
    std::multimap<uint64_t, const T*> found;
    for (size_t i = 0; i < records_.size(); ++i) {
      if (voided_.contains(i + 1)) continue;
      for (const Item& item : records_[i].items) {
        const uint64_t seq = item.as_of ? item.as_of.value : i + 1;
        const T* body = std::get_if<T>(&item.body);
        if (body != nullptr && seq <= at.value) found.emplace(seq, body);
      }
    }
    for (const auto& [seq, body] : found) fn(Seq{seq}, *body);
  }

  Seq SeqAt(TimeSpec time) const {
    for (size_t i = records_.size(); i > 0; --i) {
      if (records_[i - 1].time <= time) return Seq{i};
    }
    return Seq{};
  }

 private:
  struct Record {
    std::vector<Item> items;
    TimeSpec time;
  };
  std::vector<Record> records_;
  std::map<uint64_t, size_t> voided_;  // Seq -> the Seq of the record that voids it
};

// Makes records as a file system would, over few files, names and blocks.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}
  uint64_t Below(uint64_t n) { return random_() % n; }
  TimeSpec Time() {
    now_ += Below(12) == 0 ? -int64_t(Below(20)) : int64_t(Below(3));
    return {now_, 0};
  }
  std::vector<Item> Next(const Model& model);

 private:
  FileId File() { return FileId{2 + Below(3)}; }
  std::string Name() { return std::string(1 + Below(2), static_cast<char>('a' + Below(2))); }
  std::vector<Item> NameChange(const Model& model);
  std::vector<Item> Content(const Model& model);

  std::mt19937_64 random_;
  int64_t now_ = 1000;
  uint64_t next_entry_ = 16;
};

inline std::vector<Item> Maker::NameChange(const Model& model) {
  const FileId dir{1 + Below(2)};
  const std::string name = Name();
  NameItem live;
  model.Each<NameItem>(kLatest, [&](Seq, const NameItem& item) {
    if (item.parent == dir && item.name == name && (item.child || item.entry == live.entry)) live = item;
  });
  std::vector<Item> items;
  if (live.child) items.push_back(Make(NameItem{dir, live.entry, name, FileId{}, 0}));
  if (!live.child || Below(2) == 0) items.push_back(Make(NameItem{dir, EntryId{next_entry_++}, name, File(), 8}));
  return items;
}

inline std::vector<Item> Maker::Content(const Model& model) {
  const FileId file = File();
  const LayoutId layout{1 + Below(2)};
  if (Below(4) == 0) {
    const uint64_t first = Below(6);
    return {Make(RangeItem{file, layout, first, Below(2) == 0 ? kEndOfFile : first + 1 + Below(3)}),
            Make(RangeItem{file, layout, 7, 8})};
  }
  Seq as_of;
  if (Below(8) == 0 && model.size() > 0) as_of = Seq{1 + Below(model.size())};
  BlocksItem blocks{file, layout, kDefaultBlockShift, Below(6), {}};
  for (uint64_t n = 1 + Below(3); n > 0; --n) {
    BlockVersion version;
    version.checksum = random_();
    blocks.versions.push_back(version);
  }
  return {Make(blocks, as_of)};
}

inline std::vector<Item> Maker::Next(const Model& model) {
  switch (Below(8)) {
    case 0:
      return {Below(4) == 0 ? InodeGone(File()) : Inode(File(), random_())};
    case 1: {
      XattrItem xattr{File(), "user." + Name(), std::to_string(random_()), Below(3) == 0};
      if (xattr.gone) xattr.value.clear();
      return {Make(xattr)};
    }
    case 2:
    case 3:
      return NameChange(model);
    case 4: {
      const uint64_t back = Below(12);
      const uint64_t seq = model.size() > back ? model.size() - back : 0;
      if (seq != 0 && model.MayVoid(seq)) return {Make(VoidItem{Seq{seq}})};
      [[fallthrough]];
    }
    default:
      return Content(model);
  }
}

void ExpectSame(Rig* rig, const Model& model, Seq at);
void ExpectSameEverywhere(Rig* rig, const Model& model);

}  // namespace dkfs
