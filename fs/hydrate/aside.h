// Aside: where things go that stand in the backing directory and that no retained version explains. Nothing is deleted.
//
// Names move by rename and so need no new space; single blocks about to be overwritten are copied, sparsely, within a
// budget. A set is everything of one mount, named by its time:  PLACE/TIME/path/in/the/directory[~N]
// What comes after the set was removed begins another, TIME~N, and has the whole budget again.
// The place is the first that is on the file system of DIR (by rename, not only by device number):
//   STORE/aside   DIR/../.NAME.dkfs-aside   DIR/.dkfs-partial/aside (when DIR is the root of its file system)
// The second is passed over where somebody else made something of that name.
//
// Thread-safe.
#pragma once

#include <errno.h>

#include <string>
#include <vector>

#include "fs/backing/backing.h"
#include "store/base/mutex.h"

namespace dkfs {

class Aside {
 public:
  Aside(Backing* backing, std::string store_path, uint64_t budget_bytes);

  // Moves the entry at `path`, a directory with all below it, out of DIR. ENOENT: there is none.
  // `as` is the path it gets in the set.
  Status MoveName(const std::string& path, const std::string& as);
  Status MoveName(const std::string& path) { return MoveName(path, path); }
  // Keeps a copy of the bytes at `offset` of the file at `path`, synced on return. kOverBudget: that, and nothing else.
  static constexpr int kOverBudget = EXFULL;  // no file system answers so
  Status CopyBytes(const std::string& path, uint64_t offset, Bytes data);

  uint64_t bytes() const;  // moved and copied since construction
  uint64_t entries() const;

  struct Set {
    std::string time;
    std::string place;  // for people
    uint64_t entries = 0;
    uint64_t bytes = 0;              // allocated
    std::vector<std::string> paths;  // as they were in DIR; the first 1000
  };
  // Nobody waits while these two walk through sets.
  Result<std::vector<Set>> List() const;
  Status Remove(const std::string& time);  // "": all. ENOENT: no such set

 private:
  struct Place {
    UniqueFd base;
    std::string name;  // of the directory of sets, below base
    std::string display;
    bool exposed = false;  // others may make names in `base`
  };
  struct Sets {
    UniqueFd dir;
    std::vector<std::string> times;
  };
  Result<std::vector<Place>> FindPlaces() const;
  static Result<Sets> SetsAt(const Place& place);
  Status Locate() REQUIRES(mutex_);
  void BeginSet() REQUIRES(mutex_);
  // Opens, making what is missing, the current place, or the next that can be had.
  Result<UniqueFd> OpenPlace() REQUIRES(mutex_);
  // The directory in it that holds `path` in the set; its last name goes to *leaf.
  Result<UniqueFd> OpenParent(const std::string& path, std::string* leaf) REQUIRES(mutex_);
  void Count(const struct stat& st) REQUIRES(mutex_);

  Backing* const backing_;
  const std::string store_path_;
  const uint64_t budget_bytes_;
  mutable Mutex mutex_;
  std::vector<Place> places_ GUARDED_BY(mutex_);
  size_t current_ GUARDED_BY(mutex_) = 0;
  std::string time_ GUARDED_BY(mutex_);
  std::string set_ GUARDED_BY(mutex_);  // where things go now
  int sets_removed_ GUARDED_BY(mutex_) = 0;
  std::string copy_path_ GUARDED_BY(mutex_);  // the file `copy_` is for
  UniqueFd copy_ GUARDED_BY(mutex_);
  uint64_t copied_ GUARDED_BY(mutex_) = 0, bytes_ GUARDED_BY(mutex_) = 0, entries_ GUARDED_BY(mutex_) = 0;
};

}  // namespace dkfs
