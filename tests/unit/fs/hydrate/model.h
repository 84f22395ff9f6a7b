// A store, a backing directory and a hydrator over them, with a plain model of what the tree must be.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/hydrate/aside.h"
#include "fs/hydrate/hydrator.h"

namespace dkfs {

struct ModelFile {
  FileId id;
  mode_t mode = 0;
  std::string content;  // regular files; target of symbolic links
};

class HydrateModel {
 public:
  explicit HydrateModel(const std::string& root);
  ~HydrateModel();

  // --- the store ---
  FileId MakeDir(const std::string& path);
  FileId MakeFile(const std::string& path, const std::string& content, bool adopting = false);
  FileId MakeSpecial(const std::string& path, mode_t mode, const std::string& target);
  void Link(const std::string& from, const std::string& to);
  void Write(const std::string& path, size_t offset, const std::string& bytes);
  void Truncate(const std::string& path, size_t size);
  void SetXattr(const std::string& path, const std::string& name, const std::string& value);

  // --- the backing directory, changed without dkfs ---
  std::string PathIn(const std::string& path) const { return dir_ + "/" + path; }
  void Damage(const std::string& path, size_t offset, const std::string& bytes);
  void EmptyDir();
  // Makes DIR what the model says, as if dkfs had always kept it.
  void FillDir();

  // --- one mount ---
  void Start(bool trusted, uint64_t aside_budget = 1 << 30);
  void Start(const HydrateOptions& options);
  void Drop();  // as a kill: nothing is finished
  Status Finish();
  Result<std::string> Read(const std::string& path, uint64_t offset, size_t length);
  InodeRef Get(const std::string& path);

  // Every name, type, content, link and time of DIR is the model's; prints what is not.
  void ExpectComplete();
  std::string Backed(const std::string& path) const;  // content of a backing file
  std::vector<std::string> AsideFiles() const;        // paths below aside/TIME, sorted

  std::map<std::string, ModelFile> tree;
  std::unique_ptr<Store> store;
  std::unique_ptr<Backing> backing;
  std::unique_ptr<InodeTable> inodes;
  SharedMutex tree_lock;
  std::unique_ptr<Hydrator> hydrator;

 private:
  InodeState NewState(mode_t mode);
  FileId Add(const std::string& path, const InodeState& state, RecordBuilder* record);
  FileId DirOf(const std::string& path, std::string* name);
  void Make(const std::string& path, const ModelFile& file);

  std::string root_, dir_;
};

}  // namespace dkfs
