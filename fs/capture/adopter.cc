#include "fs/capture/adopter.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "fs/capture/adopt_walk.h"
#include "store/base/file.h"
#include "store/base/log.h"

namespace dkfs {

Result<bool> Adopter::IsComplete(Store* store) {
  const Status root = store->GetInode(kRootFile).status();
  if (root.ok()) return true;
  if (root.IsNotFound()) return false;
  return root;
}

Status Adopter::AdoptNames(const std::function<bool(uint64_t)>& progress) {
  AdoptWalk walk(store_, backing_, progress);
  DKFS_TRY(walk.Directory("", kRootFile));
  DKFS_TRY(walk.Finish());
  Log(LogLevel::kInfo, "adopted_names",
      {{"dir", backing_->display()}, {"inodes", walk.inodes()}, {"bytes", walk.bytes()}});
  return Status::Ok();
}

Status Adopter::RefuseUnfinished() {
  Result<std::vector<std::string>> names = backing_->List(std::string(kPartialDir));
  if (!names.ok()) return names.status().IsNotFound() ? Status::Ok() : names.status();
  std::erase(*names, "aside");
  if (names->empty()) return Status::Ok();
  return Status::Error(EEXIST, backing_->display() + "/" + std::string(kPartialDir) +
                                   " holds files that a mount with another store left unfinished: mount with that " +
                                   "store, or, if it is lost, move the folder elsewhere");
}

namespace {

// Others may go on without this one.
bool IsOfTheFile(const Status& s) {
  return s.code() == EIO || s.code() == EPERM || s.code() == EACCES || s.code() == ETXTBSY || s.IsCorruption();
}

bool OpenForWriting(const std::filesystem::path& fdinfo) {
  std::ifstream in(fdinfo);
  std::string key;
  while (in >> key) {
    if (key != "flags:") continue;
    unsigned long flags = 0;
    in >> std::oct >> flags;
    return (flags & O_ACCMODE) != O_RDONLY && (flags & O_PATH) == 0;
  }
  return false;
}

std::string ReadLine(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The kernel's own writers, which are in no process's descriptors: loop devices, as "loop0 PATH".
std::optional<std::string> FindLoopDevice(const std::string& dir) {
  std::error_code ignored;
  for (const auto& device : std::filesystem::directory_iterator("/sys/block", ignored)) {
    const std::string file = ReadLine(device.path() / "loop/backing_file");
    const bool writes = ReadLine(device.path() / "ro") != "1";
    if (writes && file.starts_with(dir + "/")) return device.path().filename().string() + " " + file;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> Adopter::FindWriter(const std::string& dir) {
  namespace stdfs = std::filesystem;
  if (auto device = FindLoopDevice(dir)) return device;
  std::error_code ignored;  // processes come and go while we look
  for (const auto& process : stdfs::directory_iterator("/proc", ignored)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos || pid == std::to_string(getpid())) continue;
    std::error_code gone;
    for (stdfs::directory_iterator fd(process.path() / "fd", gone), end; !gone && fd != end; fd.increment(gone)) {
      std::error_code closed;
      const std::string target = stdfs::read_symlink(fd->path(), closed);
      if (closed || !target.starts_with(dir + "/")) continue;
      if (!OpenForWriting(process.path() / "fdinfo" / fd->path().filename())) continue;
      return pid + " (" + ReadLine(process.path() / "comm") + ") " + target;
    }
  }
  return std::nullopt;
}

namespace {

std::string CapturedPath(const Store& store) { return store.path() + "/captured"; }

}  // namespace

bool Adopter::IsAllCaptured(const Store& store) { return file::Stat(AT_FDCWD, CapturedPath(store)).ok(); }

Status Adopter::ForgetCaptured(const Store& store) {
  Status gone = file::Unlink(AT_FDCWD, CapturedPath(store));
  return gone.IsNotFound() ? Status::Ok() : gone;
}

Status Adopter::NoteCaptured() {
  {
    MutexLock l(mutex_);
    if (stop_ || again_ || may_drift_ || IsAllCaptured(*store_)) return Status::Ok();
  }
  DKFS_TRY(store_->Sync());
  return file::ReplaceDurably(AT_FDCWD, CapturedPath(*store_), "");
}

void Adopter::StartContents(WithContent open, bool may_drift) {
  open_ = std::move(open);
  {
    MutexLock l(mutex_);
    may_drift_ = may_drift;
  }
  thread_ = std::thread([this] { Run(); });
}

void Adopter::Wake() {
  MutexLock l(mutex_);
  again_ = true;
  may_drift_ = false;
  done_ = false;
  counted_ = false;
  wake_.SignalAll();
}

void Adopter::Stop() {
  {
    MutexLock l(mutex_);
    stop_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

AdoptProgress Adopter::progress() const {
  const bool counted = counted_.load();  // before the figures: they are set first
  return {done_.load(), counted, bytes_total_.load(), bytes_waiting_.load()};
}

void Adopter::Run() {
  for (;;) {
    {
      MutexLock l(mutex_);
      while (!stop_ && !again_) wake_.Wait(mutex_);
      if (stop_) return;
      again_ = false;
    }
    Round round;
    if (Status s = CaptureRound(&round); !s.ok()) {
      Log(LogLevel::kError, "adopt_contents_failed",
          {{"dir", backing_->display()},
           {"error", s.ToString()},
           {"hint", "contents not captured yet are only in DIR; see dkfsctl status"}});
      return;
    }
    if (round.all) NoteCaptured().Ignore("it only spares a mount the look at every inode");
    MutexLock l(mutex_);
    if (!again_) {
      bytes_waiting_ = round.not_stored;
      done_ = true;
      if (round.any) Log(LogLevel::kInfo, "adopted_contents", {{"dir", backing_->display()}});
    }
  }
}

Status Adopter::CaptureRound(Round* round) {
  std::vector<std::pair<FileId, uint64_t>> waiting;
  uint64_t total = 0, to_do = 0;
  DKFS_TRY(store_->EachInode(kLatest, [&](FileId file, const InodeState& state) {
    if (!S_ISREG(state.mode)) return true;
    total += state.size;
    if (state.content == ContentState::kAdopting) {
      waiting.emplace_back(file, state.adopted_size);
      to_do += state.adopted_size;
    }
    return true;
  }));
  bytes_total_ = total;
  bytes_waiting_ = to_do;
  {
    MutexLock l(mutex_);
    counted_ = !again_;
  }
  round->any = !waiting.empty();
  for (const auto& [file, size] : waiting) {
    bool all = false;
    Status s = CaptureFile(file, &all);
    if (s.code() == ECANCELED) return Status::Ok();
    if (s.ok() || s.IsNotFound() || s.code() == ESTALE) continue;
    if (!IsOfTheFile(s)) return s;
    round->all = round->all && all;
    round->not_stored += size;
    Result<std::string> path = store_->PathOf(file);
    Log(LogLevel::kError, "adopt_file_failed",
        {{"path", path.ok() ? *path : "?"},
         {"error", s.ToString()},
         {"hint", "this file is not protected; read it and copy it elsewhere"}});
  }
  return Status::Ok();
}

Status Adopter::CaptureFile(FileId file, bool* all) {
  // What waits is lowered by no more than what has been captured: at 0 people take everything for protected.
  auto captured_bytes = [&](uint64_t bytes) {
    const uint64_t waiting = bytes_waiting_.load();
    bytes_waiting_ = waiting - std::min(waiting, bytes);
  };
  uint64_t next = 0, said = 0;  // the next block, and bytes that were said to be captured
  for (bool more = true; more;) {
    {
      MutexLock l(mutex_);
      if (stop_) return Status::Error(ECANCELED);
    }
    store_->AwaitRoom();
    const Status captured = open_(file, [&](Inode& inode) NO_THREAD_SAFETY_ANALYSIS -> Status {
      DKFS_TRY_ASSIGN(more, capture_.SecureSome(inode, &next));
      if (more) {
        captured_bytes((next << inode.state.block_shift) - said);
        said = next << inode.state.block_shift;
        return Status::Ok();
      }
      if (inode.state.content != ContentState::kAdopting) return Status::Ok();
      if (inode.believed_bytes < inode.state.adopted_size) {
        *all = true;
        return Status::Corruption("lost before it was captured: only " + std::to_string(inode.believed_bytes) + " of " +
                                  std::to_string(inode.state.adopted_size) + " bytes were there");
      }
      InodeState after;
      DKFS_TRY(capture_.Conclude(inode, &after).status());
      captured_bytes(inode.state.adopted_size - std::min(said, inode.state.adopted_size));
      inode.state = after;
      return Status::Ok();
    });
    if (!captured.ok()) return captured;
  }
  return Status::Ok();
}

}  // namespace dkfs
