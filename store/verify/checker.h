// What the parts of verify share: the store opened read-only, and where damage is told.
#pragma once

#include <map>
#include <string>

#include "store/store.h"
#include "store/store_parts.h"
#include "store/verify/verify.h"

namespace dkfs::verify {

class Checker {
 public:
  Checker(Store* store, const VerifyOptions& options, VerifyResult* result)
      : store_(store), parts_(*store->parts()), options_(options), result_(*result) {}

  Status Tables();      // RocksDB's own files, every byte
  Status Segments();    // segments.cc
  Status Versions();    // versions.cc
  Status Tree(Seq at);  // tree.cc

  void Damage(const std::string& text) {
    ++result_.damages;
    options_.on_damage(text);
  }
  // "a/b/c" or "file 12", with the moment. The name is the one at the oldest moment when retention has folded older
  // ones.
  std::string Name(FileId file, Seq at) const;
  Seq oldest() const { return store_->GetStatus().oldest; }
  Seq newest() const { return store_->GetStatus().appended; }

 private:
  friend class SegmentCheck;
  Status CheckInode(FileId file, const InodeState& state, Seq at);
  Status CheckEntries(FileId dir, const InodeState& state, Seq at);
  Status CheckVersion(const keys::BlockKey& key, const BlockEntry& entry);
  // Candidates for the block size: one when an inode tells it, all when none does (it went with retention).
  Result<std::vector<uint8_t>> ShiftsOf(FileId file, LayoutId layout);

  Store* const store_;
  const Store::Parts& parts_;
  const VerifyOptions& options_;
  VerifyResult& result_;
  FileId shifts_of_;
  std::map<uint64_t, uint8_t> shifts_;             // layout -> block shift, of one file
  std::map<uint64_t, uint64_t> segment_sizes_;     // SegmentId -> bytes
  std::map<uint64_t, std::string> segment_names_;  // SegmentId -> file name, also of a missing one
};

}  // namespace dkfs::verify
