// Scribe: writes changes by path into a store, one record each, and into a plain model of it.
#pragma once

#include <map>
#include <string>

#include "tests/golden/tree.h"
#include "tests/support/random.h"

namespace dkfs::golden {

class Scribe {
 public:
  explicit Scribe(uint64_t seed) : random_(seed) {}
  void Use(Store* store) { store_ = store; }
  test::Random& random() { return random_; }
  const std::map<Seq, Tree>& moments() const { return moments_; }

  void Begin();  // the root
  void Make(const std::string& path, uint32_t mode, uint64_t rdev = 0, const std::string& target = "",
            uint8_t block_shift = kDefaultBlockShift);
  void MakeFile(const std::string& path, uint8_t block_shift);
  void Adopt(const std::string& path, uint64_t size);  // a file of which nothing is captured yet
  void Write(const std::string& path, uint64_t offset, const std::string& data, bool delta = false);
  void WriteVoided(const std::string& path, uint64_t offset, const std::string& data);
  void Truncate(const std::string& path, uint64_t size);  // down, to a whole block
  void Punch(const std::string& path, uint64_t first_block, uint64_t end_block);
  void Relayout(const std::string& path, const FileLayout& layout);  // of a file that is captured
  void SetXattr(const std::string& path, const std::string& name, const std::string& value);
  void RemoveXattr(const std::string& path, const std::string& name);
  void Link(const std::string& path, const std::string& to);
  void Rename(const std::string& from, const std::string& to);  // a file; `to` is replaced
  void Remove(const std::string& path);                         // a name; an empty directory too
  void Chmod(const std::string& path, uint32_t mode);

 private:
  struct Known {
    Seq seq;  // 0: of the record under way
    uint8_t chain = 0;
  };
  Node& At(const std::string& path) { return now_.at(path); }
  void Touch(Node* node);
  void PutInode(Node* node);  // into the record and into every path of the inode
  void PutName(const std::string& path, FileId child, uint8_t type);
  void EndName(const std::string& path);
  void PutBlock(Node* node, uint64_t block, const std::string& data, bool delta);
  void AddLinks(const std::string& dir, int links);
  void Commit();

  test::Random random_;
  Store* store_ = nullptr;
  Tree now_;
  std::map<Seq, Tree> moments_;
  std::map<std::string, EntryId> entries_;
  std::map<std::pair<FileId, uint64_t>, Known> versions_;
  RecordBuilder record_;
  std::vector<std::shared_ptr<std::string>> payloads_;  // borrowed by record_ until Commit
  int64_t clock_ = 1'700'000'000;
};

}  // namespace dkfs::golden
