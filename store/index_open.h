// Opening the index of a store: as it is, rebuilt from the segments when it is damaged or missing, or as a private
// copy.
//
// Rebuilding, and what a crash in it leaves:
//   1 `index.rebuild` is written durably: from here on `index` is not believed   -> the next open begins again at 2
//   2 `index` is renamed `index.broken`, unless that is there already (then `index` is an unfinished one and removed)
//   3 packs and journal segments are applied to a new `index`, which is flushed as it grows
//   4 the journal is opened; a flush writes the meta row; `clean` is removed, as the fingerprints are lost; then
//     FinishRebuild removes the mark and `index.broken`
#pragma once

#include <memory>
#include <string>

#include "store/base/status.h"
#include "store/index/index.h"
#include "store/kv/kv.h"
#include "store/store_dir.h"
#include "store/tail.h"

namespace dkfs {

// A directory of our own under the temporary directory; removed with what is in it.
class ScratchDir {
 public:
  static Result<std::unique_ptr<ScratchDir>> Make();
  ~ScratchDir();
  const std::string& path() const { return path_; }

 private:
  explicit ScratchDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct OpenedIndex {
  std::unique_ptr<ScratchDir> scratch;  // holds the copy of a read-only store
  std::unique_ptr<Kv> kv;
  std::unique_ptr<Index> index;
  JournalPosition tail;     // where the journal goes on after what the index holds
  bool rebuilding = false;  // FinishRebuild is due after the first flush
  Status index_error;       // read-only: why the index had to be rebuilt aside
  Status damage;            // read-only: where the rebuilt prefix ended, if it was not the journal's end
};

// For a writer. EUCLEAN when the index must be rebuilt and the segments are damaged too.
Result<OpenedIndex> OpenIndex(const StoreDir& dir);
// Makes the next OpenIndex rebuild. Durable.
Status RequestRebuild(const StoreDir& dir);
Status FinishRebuild(const StoreDir& dir);
// Nothing in the store is changed: RocksDB works on a directory that links to the store's immutable files, or on an
// index rebuilt there, always so when `distrust` says why.
Result<OpenedIndex> OpenIndexCopy(const StoreDir& dir, const Status& distrust);

}  // namespace dkfs
