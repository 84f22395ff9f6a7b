// AdoptWalk: records the names and attributes of what stands in the backing directory but not in the store: everything
// at the first mount, what came while DIR was not mounted later (drift). Contents are left to the Adopter: a file's
// content is kAdopting, believed from the backing file, until it is captured.
//
// Not thread-safe. Records are appended in batches; a reader sees a new subtree only once its topmost name is recorded,
// which comes last. So it is with the fingerprints, which are stored with each batch: those of a walk that was cut
// short belong to inodes that no name leads to. Should a loss of power take such an inode and its FileId be given anew,
// then to what is made in a mount, and a clean unmount, without which no fingerprint counts, writes its own.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "fs/backing/backing.h"
#include "store/store.h"

namespace dkfs {

class AdoptWalk {
 public:
  static constexpr size_t kBatchBytes = 256 << 10;  // a record that is so long is not made longer

  // `progress` is called now and then; where it says false the walk ends with ECANCELED.
  AdoptWalk(Store* store, Backing* backing, std::function<bool(uint64_t inodes)> progress = nullptr)
      : store_(store), backing_(backing), progress_(std::move(progress)) {}

  // Everything below the directory at `path`, whose FileId is `dir`; then the directory itself with `dir_names`
  // subdirectories already counted elsewhere. EXDEV names a mount point found below it, EPERM what is immutable.
  Status Directory(const std::string& path, FileId dir);
  // One new entry (with everything below it) and its name in `parent`, which gets no new attributes here but the link
  // of a new subdirectory: *parent_state is counted up, and recorded with the name.
  Status Entry(const std::string& path, FileId parent, InodeState* parent_state, const std::string& name);
  // Appends what is left, and syncs it.
  Status Finish();
  uint64_t inodes() const { return inodes_; }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Pending {  // a directory whose entries are still to be listed
    std::string path;
    FileId id;
    InodeState state;
    Fingerprint print;
  };
  Status Walk(Pending top, bool record_top);
  Status Child(const std::string& path, const struct stat& st, FileId* id, bool* fresh, InodeState* state);
  Status AddInode(const std::string& path, FileId id, const InodeState& state);
  Status FlushIfLarge();
  Status Flush();

  Store* const store_;
  Backing* const backing_;
  std::function<bool(uint64_t)> progress_;
  RecordBuilder record_;
  std::vector<std::pair<FileId, Fingerprint>> prints_;
  struct Linked {
    FileId id;
    InodeState state;
  };
  std::map<uint64_t, Linked> linked_;  // by inode number: files with several names
  bool refuses_fixed_ = false;         // not what drifted: the mount is not to fail for it
  uint64_t inodes_ = 0;
  uint64_t bytes_ = 0;
};

// The path, below DIR ("": DIR itself), of `name` in the directory at `path`.
std::string Join(const std::string& path, const std::string& name);
// The state of the backing entry as adoption records it (btime, symlink target and kAdopting content included).
Result<InodeState> ReadBackingState(Backing& backing, const std::string& path, const struct stat& st);
// Adds the long holes of a file that is being adopted to the record with its inode, or to one before anybody sees it:
// so they need no version, of which a sparse file may have more than can ever be recorded. Of a file with very many
// the first ones; the others are captured like content.
Status RecordHoles(Backing& backing, const std::string& path, const struct stat& st, FileId file,
                   const InodeState& state, RecordBuilder* record);

}  // namespace dkfs
