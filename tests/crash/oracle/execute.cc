#include "tests/crash/oracle/execute.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <csetjmp>
#include <cstring>
#include <thread>

#include "store/base/mutex.h"
#include "store/base/trace.h"
#include "store/base/unique_fd.h"

namespace dkfs::oracle {
namespace {

thread_local sigjmp_buf mapped_fault;

void OnSigbus(int) { siglongjmp(mapped_fault, 1); }

int Done(int64_t result) { return result < 0 ? errno : 0; }

// One call: a transfer that moved less is an error, except that large writes go on where they ended.
int WriteAll(int fd, std::string_view data, uint64_t offset, bool append) {
  while (!data.empty()) {
    const ssize_t n = append ? ::write(fd, data.data(), data.size())
                             : ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) return errno;
    data.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

// Stores that a dead mount answers with SIGBUS.
int StoreMapped(const Op& op, int fd, bool sync) {
  const uint64_t begin = RoundDown(op.offset, 4096), bytes = op.offset + op.bytes - begin;
  void* map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(begin));
  if (map == MAP_FAILED) return errno;
  int error = 0;
  if (sigsetjmp(mapped_fault, 1) == 0) {
    memcpy(static_cast<char*>(map) + (op.offset - begin), op.data.data(), op.data.size());
    if (sync) error = Done(::msync(map, bytes, MS_SYNC));
  } else {
    error = EIO;
  }
  ::munmap(map, bytes);
  if (error != 0 || sync) return error;
  // munmap tells nobody that writing its pages failed; nor does the kernel always when the mount has died meanwhile.
  if (::sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) != 0) return errno;
  struct statvfs answered {};
  return Done(::fstatvfs(fd, &answered));
}

int CopyRange(const Op& op, int root, int to) {
  UniqueFd from(::openat(root, op.other.c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) return errno;
  loff_t in = static_cast<loff_t>(op.from), out = static_cast<loff_t>(op.offset);
  for (uint64_t left = op.bytes; left > 0;) {
    const ssize_t n = ::copy_file_range(from.get(), &in, to, &out, left, 0);
    if (n < 0) return errno;
    if (n == 0) return ENODATA;  // the source is shorter than the model says
    left -= static_cast<uint64_t>(n);
  }
  return 0;
}

int OpenFlags(const Op& op) {
  switch (op.kind) {
    case Kind::kAppend:
      return O_WRONLY | O_APPEND;
    case Kind::kSyncWrite:
      return O_WRONLY | O_SYNC;
    case Kind::kDsyncWrite:
      return O_WRONLY | O_DSYNC;
    case Kind::kSyncDir:
      return O_RDONLY | O_DIRECTORY;
    case Kind::kFsync:
      return O_RDONLY;
    default:
      return O_RDWR;
  }
}

// The calls that go through a descriptor.
int OnDescriptor(const Op& op, int root) {
  UniqueFd fd(::openat(root, op.path.c_str(), OpenFlags(op) | O_CLOEXEC));
  if (!fd) return errno;
  const off_t offset = static_cast<off_t>(op.offset), bytes = static_cast<off_t>(op.bytes);
  switch (op.kind) {
    case Kind::kMapped:
    case Kind::kMappedUnmap:
      return StoreMapped(op, fd.get(), op.kind == Kind::kMapped);
    case Kind::kTruncateDown:
    case Kind::kTruncateUp:
      return Done(::ftruncate(fd.get(), bytes));
    case Kind::kAllocateKeep:
      return Done(::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, offset, bytes));
    case Kind::kPunch:
      return Done(::fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes));
    case Kind::kZeroRange:
      return Done(::fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, offset, bytes));
    case Kind::kExtend:
      return Done(::fallocate(fd.get(), 0, offset, bytes));
    case Kind::kCopyRange:
      return CopyRange(op, root, fd.get());
    case Kind::kFsync:
    case Kind::kSyncDir:
    case Kind::kSharedSync:
      return Done(::fsync(fd.get()));
    case Kind::kFdatasync:
      return Done(::fdatasync(fd.get()));
    default:
      return WriteAll(fd.get(), op.data, op.offset, op.kind == Kind::kAppend);
  }
}

int Orphan(const Op& op, int root) {
  UniqueFd fd(::openat(root, op.path.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) return errno;
  if (::unlinkat(root, op.path.c_str(), 0) != 0) return errno;
  // Nobody will see these; only a dead mount matters.
  const int wrote = WriteAll(fd.get(), op.data, 100, false);
  const int cut = Done(::ftruncate(fd.get(), 50));
  return MeansDead(wrote) || MeansDead(cut) ? ENOTCONN : 0;
}

int TmpFile(const Op& op, int root) {
  const std::string dir = op.path.substr(0, op.path.rfind('/'));
  UniqueFd fd(::openat(root, dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, op.mode));
  if (!fd) return errno;
  if (int error = WriteAll(fd.get(), op.data, 0, false); error != 0) return error;
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  return Done(::linkat(AT_FDCWD, self.c_str(), root, op.path.c_str(), AT_SYMLINK_FOLLOW));
}

int OnNames(const Op& op, int root) {
  const char *path = op.path.c_str(), *other = op.other.c_str();
  switch (op.kind) {
    case Kind::kCreate: {
      UniqueFd fd(::openat(root, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, op.mode));
      return fd ? 0 : errno;
    }
    case Kind::kTmpFile:
      return TmpFile(op, root);
    case Kind::kMkdir:
      return Done(::mkdirat(root, path, op.mode));
    case Kind::kFifo:
      return Done(::mkfifoat(root, path, op.mode));
    case Kind::kSymlink:
      return Done(::symlinkat(op.data.c_str(), root, path));
    case Kind::kLink:
      return Done(::linkat(root, path, root, other, 0));
    case Kind::kRename:
    case Kind::kRenameOver:
      return Done(::renameat(root, path, root, other));
    case Kind::kNoReplace:
      return Done(::renameat2(root, path, root, other, RENAME_NOREPLACE));
    case Kind::kExchange:
      return Done(::renameat2(root, path, root, other, RENAME_EXCHANGE));
    case Kind::kUnlink:
      return Done(::unlinkat(root, path, 0));
    case Kind::kRmdir:
      return Done(::unlinkat(root, path, AT_REMOVEDIR));
    default:
      return Orphan(op, root);
  }
}

int OnAttributes(const Op& op, int root) {
  const char* path = op.path.c_str();
  if (op.kind == Kind::kChmod) return Done(::fchmodat(root, path, op.mode, 0));
  if (op.kind == Kind::kChown) return Done(::fchownat(root, path, op.uid, op.gid, 0));
  if (op.kind == Kind::kUtimens) {
    struct timespec times[2] = {{0, UTIME_OMIT}, {op.mtime_ns / 1'000'000'000, op.mtime_ns % 1'000'000'000}};
    return Done(::utimensat(root, path, times, 0));
  }
  UniqueFd fd(::openat(root, path, O_RDONLY | O_CLOEXEC));
  if (!fd) return errno;
  if (op.kind == Kind::kSetXattr)
    return Done(::fsetxattr(fd.get(), op.xattr.c_str(), op.data.data(), op.data.size(), 0));
  return Done(::fremovexattr(fd.get(), op.xattr.c_str()));
}

class Runner {
 public:
  Runner(const Workload& workload, int root, const KillPlan& kill) : workload_(workload), root_(root), kill_(kill) {}

  void RunThread(uint32_t thread) {
    Model model(thread);
    for (uint64_t number = 0; number < workload_.ops && !died_; ++number) {
      const Op op = PlanOp(workload_, number, model);
      Trace::OpBegun(thread, number);
      const int error = Execute(op, thread, root_);
      if (MeansDead(error)) {
        died_ = true;
        return;
      }
      Trace::OpEnded(thread, number, error);
      Count(op, error);
      if (error != 0 && (workload_.stops_on_error || op.UncertainOnError()))
        return;  // from here on the model would have to guess
      for (size_t step = 0; error == 0 && step < op.steps(); ++step) model.Apply(op, step);
    }
  }

  // Waits for its moment in a thread of its own, so that calls are under way when it comes.
  void RunKiller() {
    while (ended_ < kill_.after_ops && !finished_ && !died_) std::this_thread::yield();
    const struct timespec delay = {0, static_cast<long>(kill_.delay_ns)};
    nanosleep(&delay, nullptr);
    ::kill(kill_.pid, SIGKILL);
  }

  Exercised Finish() {
    MutexLock lock(mutex_);
    result_.ended = ended_;
    result_.died = died_;
    return result_;
  }
  std::atomic<bool> finished_{false};

 private:
  void Count(const Op& op, int error) {
    ++ended_;
    MutexLock lock(mutex_);
    if (error == 0)
      ++result_.passed[static_cast<size_t>(op.kind)];
    else
      ++result_.failed;
  }

  const Workload workload_;
  const int root_;
  const KillPlan kill_;
  std::atomic<uint64_t> ended_{0};
  std::atomic<bool> died_{false};
  Mutex mutex_;
  Exercised result_ GUARDED_BY(mutex_);
};

}  // namespace

bool MeansDead(int error) { return error == ENOTCONN || error == ECONNABORTED || error == ECONNREFUSED; }

int Execute(const Op& op, uint32_t, int root_fd) {
  switch (op.kind) {
    case Kind::kChmod:
    case Kind::kChown:
    case Kind::kUtimens:
    case Kind::kSetXattr:
    case Kind::kRemoveXattr:
      return OnAttributes(op, root_fd);
    case Kind::kCreate:
    case Kind::kTmpFile:
    case Kind::kMkdir:
    case Kind::kFifo:
    case Kind::kSymlink:
    case Kind::kLink:
    case Kind::kRename:
    case Kind::kRenameOver:
    case Kind::kNoReplace:
    case Kind::kExchange:
    case Kind::kUnlink:
    case Kind::kRmdir:
    case Kind::kOrphan:
      return OnNames(op, root_fd);
    default:
      return OnDescriptor(op, root_fd);
  }
}

Exercised Run(const Workload& workload, const std::string& dir, const KillPlan& kill) {
  ::umask(0);
  struct sigaction action {};
  action.sa_handler = OnSigbus;
  action.sa_flags = SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
  const UniqueFd root(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Runner runner(workload, root.get(), kill);
  std::thread killer;
  if (kill.pid > 0) killer = std::thread([&] { runner.RunKiller(); });
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < workload.threads; ++i) threads.emplace_back([&runner, i] { runner.RunThread(i); });
  for (std::thread& thread : threads) thread.join();
  runner.finished_ = true;
  if (killer.joinable()) killer.join();
  return runner.Finish();
}

}  // namespace dkfs::oracle
