#include "store/replay/restore.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <map>
#include <unordered_map>

#include "store/base/file.h"
#include "store/replay/restore_sink.h"

namespace dkfs {
namespace {

constexpr size_t kEntriesAtOnce = 1024;
constexpr int kMaxDepth = 1000;  // a descriptor is held for each directory above

// What is wanted below a directory: all of it, or some names.
struct Wanted {
  bool all = false;
  std::map<std::string, Wanted> names;
};

Status AddWanted(const std::string& path, Wanted* root) {
  Wanted* at = root;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    begin = end + 1;
    if (name.empty() || name == ".") continue;
    if (!IsValidName(name)) return Status::Error(EINVAL, "path '" + path + "'");
    at = &at->names[name];
  }
  at->all = true;
  return Status::Ok();
}

std::string RealPath(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string result(real);
  free(real);
  return result;
}

class Restorer {
 public:
  Restorer(Store& store, Seq at, const RestoreOptions& options, RestoreResult* result)
      : store_(store), at_(at), options_(options), result_(*result) {}

  Status Run(const std::string& out) {
    Wanted wanted;
    wanted.all = options_.paths.empty();
    for (const std::string& path : options_.paths) DKFS_TRY(AddWanted(path, &wanted));
    Result<InodeState> state = store_.GetInode(kRootFile, at_);
    if (!state.ok()) return state.status().Prefix("no tree as of seq " + std::to_string(at_.value));
    DKFS_TRY(RefuseInsideStore(out));
    DKFS_TRY_ASSIGN(root_, RestoreSink::OpenRoot(out));
    Status status = Children(kRootFile, root_.get(), "", wanted, 0);
    if (status.ok()) status = Dress(kRootFile, *state, root_.get(), root_.get(), ".");
    return status.ok() ? first_ : status;
  }

 private:
  Status RefuseInsideStore(const std::string& out) const {
    const std::string store = RealPath(store_.path()) + "/";
    const size_t slash = out.find_last_not_of('/');
    const std::string trimmed = out.substr(0, slash + 1);
    const size_t cut = trimmed.rfind('/');
    const std::string parent = cut == std::string::npos ? "." : trimmed.substr(0, cut + 1);
    for (const std::string& place : {RealPath(parent) + "/", RealPath(trimmed) + "/"}) {
      if (place.starts_with(store)) return Status::Error(EINVAL, out + " lies in the store");
    }
    return Status::Ok();
  }

  // Notes a problem: Ok when restoring goes on.
  Status Problem(const Status& status, const std::string& path) {
    const Status full = status.Prefix((path.empty() ? "." : path) + " as of seq " + std::to_string(at_.value));
    ++result_.problems;
    options_.on_problem(full.ToString());
    if (first_.ok() || (full.IsCorruption() && !first_.IsCorruption())) first_ = full;
    return options_.keep_going ? Status::Ok() : first_;
  }

  Status Children(FileId dir, int fd, const std::string& path, const Wanted& wanted, int depth) {
    if (depth == kMaxDepth) return Problem(Status::Error(ELOOP, "too deep"), path);
    if (wanted.all) return AllChildren(dir, fd, path, depth);
    for (const auto& [name, below] : wanted.names) {
      const std::string child_path = path.empty() ? name : path + "/" + name;
      Result<NameValue> found = store_.Lookup(dir, name, at_);
      if (!found.ok()) {
        DKFS_TRY(Problem(found.status(), child_path));
        continue;
      }
      DKFS_TRY(Child(found->child, fd, name, child_path, below, depth));
    }
    return Status::Ok();
  }

  Status AllChildren(FileId dir, int fd, const std::string& path, int depth) {
    static const Wanted everything{true, {}};
    std::vector<std::pair<std::string, FileId>> page;
    EntryId after;
    do {
      page.clear();
      Status listed = store_.List(dir, after, at_, [&](EntryId entry, const EntryValue& value) {
        page.emplace_back(value.name, value.child);
        after = entry;
        return page.size() < kEntriesAtOnce;
      });
      if (!listed.ok()) DKFS_TRY(Problem(listed.Prefix("listing"), path));
      for (const auto& [name, child] : page) {
        DKFS_TRY(Child(child, fd, name, path.empty() ? name : path + "/" + name, everything, depth));
      }
    } while (page.size() == kEntriesAtOnce);
    return Status::Ok();
  }

  Status Child(FileId file, int parent, const std::string& name, const std::string& path, const Wanted& wanted,
               int depth) {
    if (!IsValidName(name)) return Problem(Status::Corruption("name that may not stand in a directory"), path);
    Result<InodeState> state = store_.GetInode(file, at_);
    Status status = state.status();
    if (status.IsNotFound()) status = Status::Corruption("its inode is missing");
    if (status.ok() && S_ISDIR(state->mode)) {
      status = Directory(file, *state, parent, name, path, wanted, depth);
      if (stopped_) return status;
    } else if (status.ok()) {
      status = NonDirectory(file, *state, parent, name, path);
      if (stopped_) return status;
    }
    if (!status.ok()) DKFS_TRY(Stop(Problem(status, path)));
    ++result_.files;
    options_.on_progress(result_.files, result_.bytes);
    return Status::Ok();
  }

  // Marks that an error is final, not one to be reported again by those above.
  Status Stop(Status status) {
    stopped_ = stopped_ || !status.ok();
    return status;
  }

  Status Directory(FileId file, const InodeState& state, int parent, const std::string& name, const std::string& path,
                   const Wanted& wanted, int depth) {
    DKFS_TRY_ASSIGN(UniqueFd fd, sink_.MakeDir(parent, name));
    DKFS_TRY(Stop(Children(file, fd.get(), path, wanted, depth + 1)));
    return Dress(file, state, fd.get(), parent, name);
  }

  Status NonDirectory(FileId file, const InodeState& state, int parent, const std::string& name,
                      const std::string& path) {
    if (state.nlink > 1) {
      auto [first, fresh] = links_.try_emplace(file, path);
      if (!fresh) return sink_.MakeLink(root_.get(), first->second, parent, name);
    }
    UniqueFd fd;
    if (S_ISREG(state.mode)) {
      DKFS_TRY_ASSIGN(fd, sink_.MakeFile(parent, name, state.size));
      DKFS_TRY(Content(file, state, fd.get(), path));
    } else if (S_ISLNK(state.mode)) {
      DKFS_TRY(sink_.MakeSymlink(parent, name, state.symlink_target));
    } else {
      DKFS_TRY(sink_.MakeNode(parent, name, state.mode, state.rdev));
    }
    return Dress(file, state, fd.get(), parent, name);
  }

  Status Content(FileId file, const InodeState& state, int fd, const std::string& path) {
    const uint64_t blocks = (state.size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
    Status status;
    Status walked = store_.ReadBlocks(file, state, 0, blocks, at_, [&](const Store::BlockRun& run) {
      const uint64_t offset = run.first << state.block_shift;
      if (!run.status.ok()) {
        const Status why =
            run.status.code() == ENODATA ? Status::Error(ENODATA, "its content was never captured") : run.status;
        status = Stop(Problem(why.Prefix("at offset " + std::to_string(offset)), path));
      } else if (!run.hole) {
        const Bytes data = run.data.first(std::min<uint64_t>(run.data.size(), state.size - offset));
        status = file::WriteAt(fd, data, offset, path);
        result_.bytes += data.size();
      }
      return status.ok();
    });
    return walked.ok() ? status : walked;
  }

  Status Dress(FileId file, const InodeState& state, int fd, int parent, const std::string& name) {
    Result<RestoreSink::Xattrs> xattrs = store_.ListXattrs(file, at_);
    if (!xattrs.ok()) return xattrs.status().Prefix("extended attributes");
    return sink_.Dress(fd, parent, name, state, *xattrs);
  }

  Store& store_;
  const Seq at_;
  const RestoreOptions& options_;
  RestoreResult& result_;
  RestoreSink sink_;
  UniqueFd root_;
  Status first_;
  bool stopped_ = false;
  std::unordered_map<FileId, std::string> links_;  // inodes with several names: the path of the first
};

}  // namespace

Status RestoreTree(Store& store, Seq at, const std::string& out, const RestoreOptions& options, RestoreResult* result) {
  *result = {};
  return Restorer(store, at, options, result).Run(out);
}

}  // namespace dkfs
