// A plain model of a tree with history, that makes random changes in a Rig and can tell what any moment must look like.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/store/retain/rig.h"

namespace dkfs::retain_test {

inline constexpr size_t kBlock = 4096;
inline constexpr uint64_t kBlocks = 6;  // of a file

class Model {
 public:
  Model(Rig* rig, uint64_t seed) : rig_(rig), random_(seed) { states_[0] = {}; }

  void Change();                                 // one random record, or two
  void Check(Seq at, const std::string& where);  // the store answers as the model at this moment
  void CheckFrom(Seq horizon, const std::string& where) {
    for (const auto& [seq, state] : states_) {
      if (seq >= horizon.value && seq > 0) Check(Seq{seq}, where + " at seq " + std::to_string(seq));
      if (testing::Test::HasFailure()) return;
    }
  }
  size_t size() const { return states_.size(); }

 private:
  using Content = std::shared_ptr<const std::string>;
  struct File {
    InodeState inode;
    std::map<uint64_t, Content> blocks;
    std::map<uint64_t, std::pair<Seq, int>> newest;  // version and its chain length, for deltas; absent: zeros
    std::map<std::string, std::string> xattrs;
    std::string name;  // "" for an orphan
    EntryId entry;
  };
  using State = std::map<uint64_t, File>;  // by FileId

  uint64_t Dice(uint64_t n) { return std::uniform_int_distribution<uint64_t>(0, n - 1)(random_); }
  State Now() const { return states_.rbegin()->second; }
  uint64_t Pick(const State& state) { return std::next(state.begin(), static_cast<long>(Dice(state.size())))->first; }
  std::string RandomBlock();
  Item InodeOf(uint64_t id, const File& file) { return {Seq{}, InodeItem{FileId{id}, file.inode}, 0, {}}; }
  Item NameOf(uint64_t id, const File& f, bool gone) {
    return {Seq{},
            NameItem{kRootFile, f.entry, f.name, gone ? FileId{} : FileId{id}, static_cast<uint8_t>(gone ? 0 : 8)},
            0,
            {}};
  }
  void Commit(const std::vector<Item>& items, State state) {
    const Seq seq = rig_->Append(items);
    states_[seq.value] = std::move(state);
  }

  void Create(State state);
  void Write(State state);
  void Delta(State state);
  void Zero(State state);
  void Unlink(State state);
  void RenameOver(State state);
  void Xattr(State state);
  void Voided(State state);

  Rig* const rig_;
  std::mt19937_64 random_;
  std::map<uint64_t, State> states_;
  uint64_t next_file_ = 2, next_entry_ = 16;
  std::set<uint64_t> files_;
  std::set<std::string> names_;
  std::vector<std::unique_ptr<std::string>> kept_;  // payloads of items under way
};

}  // namespace dkfs::retain_test
