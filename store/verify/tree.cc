// The tree at a moment: names, entries, links and link counts must tell the same story.
#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>

#include "store/verify/checker.h"

namespace dkfs::verify {

Status Checker::Tree(Seq at) {
  Status status;
  Status walked = store_->EachInode(at, [&](FileId file, const InodeState& state) {
    ++result_.inodes;
    status = CheckInode(file, state, at);
    if (status.ok() && S_ISDIR(state.mode)) status = CheckEntries(file, state, at);
    if (status.IsCorruption()) {
      Damage(Name(file, at) + ": " + status.ToString());
      status = Status::Ok();
    }
    return status.ok();
  });
  return walked.ok() ? status : walked;
}

Status Checker::CheckInode(FileId file, const InodeState& state, Seq at) {
  if (file == kRootFile) return Status::Ok();
  DKFS_TRY_ASSIGN(std::vector<LinkName> links, store_->Links(file, at));
  if (state.nlink == 0 && links.empty()) return Status::Ok();  // an orphan
  const size_t expected = S_ISDIR(state.mode) ? 1 : state.nlink;
  if (links.size() != expected) {
    Damage(Name(file, at) + ": has " + std::to_string(links.size()) + " names, its link count is " +
           std::to_string(state.nlink));
  }
  for (const LinkName& link : links) {
    Result<NameValue> found = store_->Lookup(link.parent, link.name, at);
    if (!found.ok() && !found.status().IsNotFound()) return found.status();
    if (!found.ok() || found->child != file || found->entry != link.entry) {
      Damage(Name(file, at) + ": its name '" + link.name + "' does not lead to it");
    }
  }
  return Status::Ok();
}

// A directory counts itself, its name and its subdirectories; 1 says that it does not count.
Status Checker::CheckEntries(FileId dir, const InodeState& state, Seq at) {
  Status status;
  uint64_t links = 2;
  Status listed = store_->List(dir, EntryId{}, at, [&](EntryId entry, const EntryValue& value) {
    if (value.type == DT_DIR) ++links;
    const std::string what = "entry '" + value.name + "' in " + Name(dir, at);
    Result<InodeState> child = store_->GetInode(value.child, at);
    Result<NameValue> named = store_->Lookup(dir, value.name, at);
    if (child.status().IsNotFound()) Damage(what + ": its inode is missing");
    if (named.status().IsNotFound() || (named.ok() && named->entry != entry)) Damage(what + ": cannot be looked up");
    for (const Status& failed : {child.status(), named.status()}) {
      if (!failed.ok() && !failed.IsNotFound()) status = failed;
    }
    return status.ok();
  });
  if (listed.ok() && status.ok() && state.nlink > 1 && state.nlink != links) {
    Damage(Name(dir, at) + ": has " + std::to_string(links - 2) + " subdirectories, its link count is " +
           std::to_string(state.nlink));
  }
  return listed.ok() ? status : listed;
}

}  // namespace dkfs::verify
