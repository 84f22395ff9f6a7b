#include "store/replay/restore_walk.h"

#include <sys/stat.h>

namespace dkfs {
namespace {

using Kind = RestoreStep::Kind;

constexpr size_t kEntriesAtOnce = 1024;
constexpr int kMaxDepth = 1000;  // the writer holds a descriptor for each directory above

std::string Below(const std::string& path, const std::string& name) { return path.empty() ? name : path + "/" + name; }

RestoreStep Named(Kind kind, const std::string& name, const std::string& path) {
  RestoreStep step;
  step.kind = kind;
  step.name = name;
  step.path = path;
  return step;
}

}  // namespace

Status RestoreWalk::AddWanted(const std::string& path, Wanted* root) {
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

Status RestoreWalk::Want(const std::vector<std::string>& paths) {
  wanted_.all = paths.empty();
  for (const std::string& path : paths) DKFS_TRY(AddWanted(path, &wanted_));
  return Status::Ok();
}

void RestoreWalk::Run() {
  if (Children(kRootFile, "", wanted_, 0)) queue_.Finish();
}

bool RestoreWalk::Problem(Kind kind, const std::string& path, Status status) {
  RestoreStep step = Named(kind, "", path);
  step.status = std::move(status);
  return queue_.Push(std::move(step));
}

bool RestoreWalk::Children(FileId dir, const std::string& path, const Wanted& wanted, int depth) {
  if (depth == kMaxDepth) return Problem(Kind::kProblem, path, Status::Error(ELOOP, "too deep"));
  if (wanted.all) return AllChildren(dir, path, depth);
  for (const auto& [name, below] : wanted.names) {
    const std::string child_path = Below(path, name);
    Result<NameValue> found = store_.Lookup(dir, name, at_);
    const bool more = found.ok() ? Child(found->child, name, child_path, below, depth)
                                 : Problem(Kind::kProblem, child_path, found.status());
    if (!more) return false;
  }
  return true;
}

bool RestoreWalk::AllChildren(FileId dir, const std::string& path, int depth) {
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
    if (!listed.ok() && !Problem(Kind::kProblem, path, listed.Prefix("listing"))) return false;
    for (const auto& [name, child] : page) {
      if (!Child(child, name, Below(path, name), everything, depth)) return false;
    }
  } while (page.size() == kEntriesAtOnce);
  return true;
}

bool RestoreWalk::Child(FileId file, const std::string& name, const std::string& path, const Wanted& wanted,
                        int depth) {
  if (!IsValidName(name)) {
    return Problem(Kind::kProblem, path, Status::Corruption("name that may not stand in a directory"));
  }
  Result<InodeState> state = store_.GetInode(file, at_);
  if (!state.ok()) {
    return Problem(Kind::kFailed, path,
                   state.status().IsNotFound() ? Status::Corruption("its inode is missing") : state.status());
  }
  if (!S_ISDIR(state->mode)) {
    if (!wanted.all) return Problem(Kind::kProblem, path, Status::Error(ENOENT, "nothing lies below it"));
    return NonDirectory(file, *state, name, path);
  }
  return queue_.Push(Named(Kind::kEnter, name, path)) && Children(file, path, wanted, depth + 1) &&
         End(file, *state, Status::Ok(), Named(Kind::kEnd, name, path));
}

bool RestoreWalk::NonDirectory(FileId file, const InodeState& state, const std::string& name, const std::string& path) {
  if (state.nlink > 1) {
    auto [first, fresh] = links_.try_emplace(file, path);
    if (!fresh) {
      RestoreStep link = Named(Kind::kLink, name, path);
      link.target = first->second;
      return queue_.Push(std::move(link));
    }
  }
  if (!S_ISREG(state.mode)) return End(file, state, Status::Ok(), Named(Kind::kOther, name, path));
  RestoreStep begin = Named(Kind::kFile, name, path);
  begin.state = state;
  Status status;
  return queue_.Push(std::move(begin)) && Content(file, state, &status) &&
         End(file, state, std::move(status), Named(Kind::kEnd, name, path));
}

bool RestoreWalk::Content(FileId file, const InodeState& state, Status* status) {
  const uint64_t blocks = (state.size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
  bool wanted = true;
  *status = store_.ReadBlocks(file, state, 0, blocks, at_, [&](const Store::BlockRun& run) {
    if (run.hole) return true;
    RestoreStep step;
    step.kind = run.status.ok() ? Kind::kData : Kind::kDamage;
    step.offset = run.first << state.block_shift;
    step.status = run.status;
    step.data = run.data.first(std::min<uint64_t>(run.data.size(), state.size - step.offset));
    step.owner = run.owner;
    return wanted = queue_.Push(std::move(step));
  });
  return wanted;
}

// Pushes `step` with what makes an inode complete, or with why that cannot be had.
bool RestoreWalk::End(FileId file, InodeState state, Status status, RestoreStep step) {
  if (status.ok()) {
    Result<RestoreSink::Xattrs> xattrs = store_.ListXattrs(file, at_);
    status = xattrs.status().Prefix("extended attributes");
    if (xattrs.ok()) step.xattrs = std::move(*xattrs);
  }
  step.status = std::move(status);
  step.state = std::move(state);
  return queue_.Push(std::move(step));
}

}  // namespace dkfs
