#include "store/replay/restore_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "store/base/file.h"

namespace dkfs {
namespace {

constexpr size_t kMostOpen = 256;  // directories above the last one, so that trees may be of any depth

}  // namespace

using Kind = RestoreStep::Kind;

Status RestoreWriter::Open(const std::string& out) {
  DKFS_TRY_ASSIGN(UniqueFd root, RestoreSink::OpenRoot(out));
  levels_.push_back({std::move(root), "."});
  return Status::Ok();
}

std::string RestoreWriter::PathTo(const std::string& name) const {
  std::string path;
  for (size_t i = 1; i < levels_.size(); ++i) path += (i == 1 ? "" : "/") + levels_[i].name;
  if (path.empty()) return name.empty() ? "." : name;
  return name.empty() ? path : path + "/" + name;
}

Status RestoreWriter::Problem(const Status& status, const std::string& name) {
  const Status full = status.Prefix(PathTo(name) + " as of seq " + std::to_string(at_.value));
  ++result_.problems;
  options_.on_problem(full.ToString());
  if (first_.ok() || (full.IsCorruption() && !first_.IsCorruption())) first_ = full;
  return options_.keep_going ? Status::Ok() : first_;
}

Status RestoreWriter::Count(const Status& status, const std::string& name) {
  if (!status.ok()) DKFS_TRY(Problem(status, name));
  ++result_.files;
  options_.on_progress(result_.files, result_.bytes);
  return Status::Ok();
}

Status RestoreWriter::Do(const RestoreStep& step) {
  switch (step.kind) {
    case Kind::kEnter:
      return Enter(step);
    case Kind::kFile:
      return Begin(step);
    case Kind::kEnd:
      return in_file_ ? EndFile(step) : EndDirectory(step);
    default:
      break;
  }
  if (!levels_.back().fd) return Status::Ok();
  switch (step.kind) {
    case Kind::kData:
      return Write(step);
    case Kind::kDamage:
      return Damage(step);
    case Kind::kLink:
      return Count(sink_.MakeLink(levels_.front().fd.get(), step.target, dir(), step.name), step.name);
    case Kind::kOther:
      return Count(Other(step), step.name);
    case Kind::kFailed:
      return Count(step.status, step.name);
    default:
      return Problem(step.status, step.name);
  }
}

Status RestoreWriter::CloseForNow(Level* level) {
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(level->fd.get(), level->name));
  level->dev = st.st_dev;
  level->ino = st.st_ino;
  level->fd.reset();
  return Status::Ok();
}

Status RestoreWriter::OpenAgain(Level* level, int below) {
  DKFS_TRY_ASSIGN(UniqueFd fd, file::Open(below, "..", O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(fd.get(), level->name));
  if (st.st_dev != level->dev || st.st_ino != level->ino) return Status::Error(ESTALE, "moved by somebody");
  level->fd = std::move(fd);
  return Status::Ok();
}

Status RestoreWriter::Enter(const RestoreStep& step) {
  Level level;
  level.name = step.name;
  Status status;
  if (levels_.back().fd) {
    Result<UniqueFd> made = sink_.MakeDir(dir(), step.name);
    status = made.status();
    if (made.ok()) level.fd = std::move(*made);
    if (!status.ok()) status = Count(status, step.name);
  }
  levels_.push_back(std::move(level));
  // The root stays open: links are made from there.
  if (dir() >= 0 && levels_.size() > kMostOpen) {
    if (Level& far = levels_[levels_.size() - kMostOpen]; far.fd) DKFS_TRY(CloseForNow(&far));
  }
  return status;
}

Status RestoreWriter::EndDirectory(const RestoreStep& step) {
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  if (!level.fd) return Status::Ok();  // counted when it failed
  if (!levels_.back().fd) DKFS_TRY(OpenAgain(&levels_.back(), level.fd.get()).Prefix(PathTo("")));
  Status status = step.status;
  if (status.ok()) status = sink_.Dress(level.fd.get(), dir(), step.name, step.state, step.xattrs);
  return Count(status, step.name);
}

Status RestoreWriter::Begin(const RestoreStep& step) {
  in_file_ = true;
  file_name_ = step.name;
  if (!levels_.back().fd) return Status::Ok();
  Result<UniqueFd> made = sink_.MakeFile(dir(), step.name, step.state.size);
  if (!made.ok()) return Count(made.status(), step.name);
  file_ = std::move(*made);
  return Status::Ok();
}

Status RestoreWriter::Write(const RestoreStep& step) {
  if (!file_) return Status::Ok();
  const Status written = file::WriteAt(file_.get(), step.data, step.offset, file_name_);
  if (!written.ok()) {
    file_.reset();
    return Count(written, file_name_);
  }
  result_.bytes += step.data.size();
  return Status::Ok();
}

Status RestoreWriter::Damage(const RestoreStep& step) {
  if (!file_) return Status::Ok();
  const Status why =
      step.status.code() == ENODATA ? Status::Error(ENODATA, "its content was never captured") : step.status;
  return Problem(why.Prefix("at offset " + std::to_string(step.offset)), file_name_);
}

Status RestoreWriter::EndFile(const RestoreStep& step) {
  in_file_ = false;
  if (!file_) return Status::Ok();  // counted when it failed
  Status status = step.status;
  if (status.ok()) status = sink_.Dress(file_.get(), dir(), step.name, step.state, step.xattrs);
  file_.reset();
  return Count(status, step.name);
}

Status RestoreWriter::Other(const RestoreStep& step) {
  if (S_ISLNK(step.state.mode)) {
    DKFS_TRY(sink_.MakeSymlink(dir(), step.name, step.state.symlink_target));
  } else {
    DKFS_TRY(sink_.MakeNode(dir(), step.name, step.state.mode, step.state.rdev));
  }
  DKFS_TRY(step.status);
  return sink_.Dress(-1, dir(), step.name, step.state, step.xattrs);
}

Status RestoreWriter::DressRoot(const InodeState& state, const RestoreSink::Xattrs& xattrs) {
  const Status dressed = sink_.Dress(dir(), dir(), ".", state, xattrs);
  return dressed.ok() ? dressed : Problem(dressed, "");
}

}  // namespace dkfs
