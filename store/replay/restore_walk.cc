#include "store/replay/restore_walk.h"

#include <sys/stat.h>

#include <algorithm>

namespace dkfs {
namespace {

using Kind = RestoreStep::Kind;

constexpr size_t kEntriesAtOnce = 1024;

RestoreStep Named(Kind kind, const std::string& name) {
  RestoreStep step;
  step.kind = kind;
  step.name = name;
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
  entered_.insert(kRootFile);
  levels_.push_back({.dir = kRootFile, .wanted = &wanted_});
  for (bool going = true; going;) {
    Level& level = levels_.back();
    if (!level.page.empty()) {
      const auto [name, child] = std::move(level.page.back());
      level.page.pop_back();
      static const Wanted everything{true, {}};
      going = Child(child, name, level.wanted->all ? everything : level.wanted->names.at(name));
    } else if (level.more) {
      going = NextPage(&level);
    } else if (levels_.size() > 1) {
      going = Leave();
    } else {
      return queue_.Finish();
    }
  }
}

std::string RestoreWalk::PathTo(const std::string& name) const {
  std::string path;
  for (size_t i = 1; i < levels_.size(); ++i) path += levels_[i].name + "/";
  return path + name;
}

bool RestoreWalk::Problem(Kind kind, const std::string& name, Status status) {
  RestoreStep step = Named(kind, name);
  step.status = std::move(status);
  return queue_.Push(std::move(step));
}

bool RestoreWalk::NextPage(Level* level) {
  if (!level->wanted->all) return WantedNames(level);
  Status listed = store_.List(level->dir, level->after, at_, [&](EntryId entry, const EntryValue& value) {
    level->page.emplace_back(value.name, value.child);
    level->after = entry;
    return level->page.size() < kEntriesAtOnce;
  });
  level->more = level->page.size() == kEntriesAtOnce;
  std::reverse(level->page.begin(), level->page.end());
  return listed.ok() || Problem(Kind::kProblem, "", listed.Prefix("listing"));
}

bool RestoreWalk::WantedNames(Level* level) {
  level->more = false;
  for (const auto& [name, below] : level->wanted->names) {
    Result<NameValue> found = store_.Lookup(level->dir, name, at_);
    if (found.ok()) level->page.emplace_back(name, found->child);
    if (!found.ok() && !Problem(Kind::kProblem, name, found.status())) return false;
  }
  std::reverse(level->page.begin(), level->page.end());
  return true;
}

bool RestoreWalk::Child(FileId file, const std::string& name, const Wanted& wanted) {
  if (!IsValidName(name)) {
    return Problem(Kind::kProblem, name, Status::Corruption("name that may not stand in a directory"));
  }
  Result<InodeState> state = store_.GetInode(file, at_);
  if (!state.ok()) {
    return Problem(Kind::kFailed, name,
                   state.status().IsNotFound() ? Status::Corruption("its inode is missing") : state.status());
  }
  if (S_ISDIR(state->mode)) return Enter(file, *state, name, wanted);
  if (!wanted.all) return Problem(Kind::kProblem, name, Status::Error(ENOENT, "nothing lies below it"));
  return NonDirectory(file, *state, name);
}

bool RestoreWalk::Enter(FileId dir, const InodeState& state, const std::string& name, const Wanted& wanted) {
  if (!entered_.insert(dir).second) {
    return Problem(Kind::kFailed, name, Status::Corruption("the directory has another name"));
  }
  levels_.push_back({.dir = dir, .state = state, .name = name, .wanted = &wanted});
  return queue_.Push(Named(Kind::kEnter, name));
}

bool RestoreWalk::Leave() {
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  return End(level.dir, level.state, Status::Ok(), Named(Kind::kEnd, level.name));
}

bool RestoreWalk::NonDirectory(FileId file, const InodeState& state, const std::string& name) {
  if (state.nlink > 1) {
    auto [first, fresh] = links_.try_emplace(file);
    if (!fresh) {
      RestoreStep link = Named(Kind::kLink, name);
      link.target = first->second;
      return queue_.Push(std::move(link));
    }
    first->second = PathTo(name);
  }
  if (!S_ISREG(state.mode)) return End(file, state, Status::Ok(), Named(Kind::kOther, name));
  RestoreStep begin = Named(Kind::kFile, name);
  begin.state = state;
  Status status;
  return queue_.Push(std::move(begin)) && Content(file, state, &status) &&
         End(file, state, std::move(status), Named(Kind::kEnd, name));
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
