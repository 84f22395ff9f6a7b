// A plain model of what a store holds, and a driver that appends random records to both. Every Seq's state is kept, so
// that any moment can be compared.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "store/store.h"
#include "tests/support/random.h"

namespace dkfs::test {

inline constexpr uint8_t kModelShift = kMinBlockShift;
inline constexpr size_t kModelBlock = size_t{1} << kModelShift;

struct ModelFile {
  InodeState state;
  std::map<uint64_t, std::string> blocks;  // whole blocks; a missing one is zeros
  std::map<std::string, std::string> xattrs;
  friend bool operator==(const ModelFile&, const ModelFile&) = default;
};
struct ModelName {
  EntryId entry;
  FileId child;
  friend bool operator==(const ModelName&, const ModelName&) = default;
};
struct ModelTree {
  std::map<FileId, ModelFile> files;
  std::map<std::pair<FileId, std::string>, ModelName> names;
};

// The tree as the store answers it at a moment.
Status ReadTree(Store& store, Seq at, ModelTree* tree);
// The same. Failures are gtest failures.
ModelTree TreeOf(Store& store, Seq at);
// Says in what two trees differ; "" when they do not.
std::string Difference(const ModelTree& a, const ModelTree& b);

class Driver {
 public:
  explicit Driver(uint64_t seed) : random_(seed) {}
  void Use(Store* store) { store_ = store; }
  void Begin();  // the root
  void Step();   // one random record
  Random& random() { return random_; }
  std::map<Seq, ModelTree> TakeMoments() { return std::move(moments_); }
  const std::map<Seq, ModelTree>& moments() const { return moments_; }
  Seq last() const { return moments_.empty() ? Seq{} : moments_.rbegin()->first; }
  // After records were lost with a copy of the store: what the model holds beyond `last` never was.
  void ForgetAfter(Seq last);

 private:
  using Change = void (Driver::*)();
  void Create();
  void Remove();
  void Rename();
  void Link();
  void WriteBlocks();
  void WriteDelta();
  void Truncate();
  void SetXattr();
  void Commit();
  FileId AnyFile();  // 0: there is none
  FileId AnyDir();
  std::string RandomBlock();
  void PutInode(FileId file);

  Random random_;
  Store* store_ = nullptr;
  ModelTree now_;
  std::map<Seq, ModelTree> moments_;
  RecordBuilder record_;
  std::vector<std::string> payloads_;  // borrowed by record_ until Commit
  std::map<FileId, std::map<uint64_t, std::pair<Seq, int>>>
      versions_;  // block -> newest version, its chain; Seq 0: this record
};

}  // namespace dkfs::test
