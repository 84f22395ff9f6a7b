// Drift: changes made in the backing directory while it was not mounted, after a clean unmount of a recognised DIR.
// They are captured as new changes: an inode whose fingerprint differs gets its new attributes, and a new layout whose
// content is kAdopting (believed from the backing file until captured; the old content is the base for librsync when
// packed); names that are new are adopted, names that are missing end.
//
// Each inode is compared before its first use and the rest in the background (fs/daemon starts that); mounting waits
// for neither. Thread-safety: as the functions say.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>

#include "fs/backing/backing.h"
#include "fs/inode/inode.h"
#include "store/store.h"

namespace dkfs {

class Drift {
 public:
  Drift(Store* store, Backing* backing, InodeTable* inodes) : store_(store), backing_(backing), inodes_(inodes) {}

  // Whether nothing is to be recorded of the inode, whose backing entry is at `path` (or, if that is gone, at another
  // of its names); sets inode.compared then. So it is with nearly all, and nobody has to wait for it. REQUIRES: the
  // tree lock, shared or not, no inode lock.
  Result<bool> IsUnchanged(Inode& inode, const std::string& path);

  // Compares the inode with its backing entry at `path`, and a directory's names with those of the backing directory.
  // Records what differs, and sets inode.compared. REQUIRES: the tree lock exclusively, no inode lock.
  Status Compare(Inode& inode, const std::string& path);

 private:
  struct Found {
    std::string path;
    std::optional<struct stat> st;  // none: no name of it is there, or leads to what it can be
  };
  Result<Found> Look(const std::string& path);
  Result<Found> Look(const LinkName& link);
  Result<Found> Find(Inode& inode, const std::string& path);
  Result<bool> IsUnchanged(Inode& inode, const Found& found);
  Status CompareLinks(Inode& inode, Found* found);

  Store* const store_;
  Backing* const backing_;
  InodeTable* const inodes_;
};

}  // namespace dkfs
