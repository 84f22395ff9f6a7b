#include "fs/daemon/daemon.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "fs/daemon/control_server.h"
#include "fs/daemon/control_socket.h"
#include "fs/daemon/fuse_switch.h"
#include "fs/daemon/log_file.h"
#include "fs/daemon/metrics.h"
#include "fs/daemon/mount_flusher.h"
#include "fs/daemon/mount_point.h"
#include "fs/daemon/mount_warmer.h"
#include "fs/daemon/mount_words.h"
#include "fs/daemon/mountinfo.h"
#include "fs/daemon/profiling.h"
#include "fs/daemon/test_knobs.h"
#include "fs/daemon/upkeep.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/log.h"
#include "store/base/scheduling.h"

namespace dkfs {
namespace {

constexpr Ending::Patience kCommandPatience{std::chrono::seconds(1), std::chrono::seconds(4)};
// A killed daemon holds its locks until it is quite gone; one that was unmounted, until it has finished.
constexpr std::chrono::milliseconds kRetry{50}, kDyingPatience{1000};
constexpr rlim_t kWantedFiles = 1 << 16;
constexpr unsigned kThreadsPerCpu = 4, kLeastThreads = 8, kMostThreads = 64;  // that serve /dev/fuse
constexpr size_t kStoreFiles = 512;
constexpr size_t kMostBackingFiles = 1 << 14;  // each keeps about 1.5 KiB of the kernel's memory

// Root may raise the hard limit as well. What is refused is not needed: fewer backing files stay open.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kWantedFiles) return;
  rlimit wanted{kWantedFiles, std::max(kWantedFiles, limit.rlim_max)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  wanted = {limit.rlim_max, limit.rlim_max};
  const bool raised = setrlimit(RLIMIT_NOFILE, &wanted) == 0;
  Log(LogLevel::kInfo, "open_files_limited",
      {{"limit", static_cast<uint64_t>(raised ? limit.rlim_max : limit.rlim_cur)}});
}

// The store has few files open, its tables are bounded; what is left is shared by backing files that are kept open and
// by unlinked ones.
void ShareDescriptors(FileSystemOptions* options) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const size_t all = limit.rlim_cur;
  options->open_files = std::clamp<size_t>(all / (all < 8 * kStoreFiles ? 4 : 2), 1, kMostBackingFiles);
  options->unlinked_below = all < 2 * kStoreFiles ? all / 4 : all - kStoreFiles - options->open_files;
}

// A unit may have lowered it further.
void LowerOomScore() {
  constexpr const char* kPath = "/proc/self/oom_score_adj";
  constexpr int kWanted = -500;
  auto present = file::ReadAll(AT_FDCWD, kPath);
  if (present.ok() && std::atoi(present->c_str()) <= kWanted) return;
  UniqueFd oom(::open(kPath, O_WRONLY | O_CLOEXEC));
  const std::string wanted = std::to_string(kWanted);
  if (!oom || ::write(oom.get(), wanted.data(), wanted.size()) < 0) Log(LogLevel::kDebug, "oom_score_not_lowered", {});
}

// Limits that help and that a container may refuse; dkfs copes with what it gets.
void TuneProcess() {
  RaiseFileLimit();
  LowerOomScore();
  // Memory that is reclaimed for the daemon must not wait for pages that the daemon itself has to write.
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) Log(LogLevel::kDebug, "io_flusher_refused", {});
}

// Whether the daemon of that store has nothing left to do but to finish.
bool IsFinishing(const std::string& store) {
  auto socket = ConnectIn(store, kDyingPatience);
  if (!socket.ok() || !WriteLine(socket->get(), {{"command", "status"}}).ok()) return false;
  auto answer = LineReader(socket->get()).Next();
  if (!answer.ok() || !answer->has_value()) return false;
  const auto status = (**answer).find("status");
  return status != (**answer).end() && status->is_object() && status->value("state", "") == "unmounting";
}

bool LockPatiently(int fd) {
  for (auto waited = kRetry; ::flock(fd, LOCK_EX | LOCK_NB) != 0; waited += kRetry) {
    if (waited > kDyingPatience) return false;
    std::this_thread::sleep_for(kRetry);
  }
  return true;
}

Failure StoreFailure(const std::string& path, const Status& status) {
  std::string detail(status.context());
  switch (status.code()) {
    case EBUSY:
      return {kExitStoreInUse, "the store " + path + " is in use by another dkfs"};
    case EUCLEAN:
      return {kExitStoreBad, "the store " + path + " is damaged: " + detail};
    case ENOTSUP:
      return {kExitStoreBad, "the store " + path + " was written by a newer dkfs: " + detail};
    case EBADMSG:
      return {kExitStoreBad, path + " is not a store: " + detail};
    default:
      return {kExitEnvironment, "opening the store " + path + ": " + status.ToString()};
  }
}

}  // namespace

Daemon::Daemon(const Options& options, Places places)
    : options_(options),
      places_(std::move(places)),
      started_(std::chrono::steady_clock::now()),
      hotness_({options.hotness, options.btf, options.order == Order::kFsync}) {}

Daemon::~Daemon() = default;

Failure Daemon::Run(Readiness* ready) {
  ending_ = std::make_unique<Ending>(places_.dir, places_.store,
                                     options_.has_command ? kCommandPatience : Ending::Patience{});
  ending_->Start();
  ready_ = ready;
  Failure failure = Start();
  if (!failure.failed()) failure = BeginChanges();
  if (failure.failed()) {
    LeaveAsFound();
    ready->Failed(failure);
    return failure;
  }
  Status served = session_->Run([&] { OnReady(ready); });
  fuse_switch_.reset();
  ending_->SessionEnded();
  Detach(places_.dir, places_.store).Ignore("gone already, unless the session was told to end");
  if (!served.ok()) {
    failure = Failure::Environment(served);
    ready->Failed(failure);
  }
  Failure finished = Finish();
  return failure.failed() ? failure : finished;
}

Failure Daemon::Start() {
  using Step = Failure (Daemon::*)();
  for (Step step :
       {&Daemon::LoadHints, &Daemon::OpenStore, &Daemon::OpenDirectory, &Daemon::RefuseForeign, &Daemon::Assemble,
        &Daemon::MakeCpuLatency, &Daemon::ServeMetrics, &Daemon::Adopt, &Daemon::Cover}) {
    Failure failure = (this->*step)();
    if (failure.failed()) return failure;
    failure = StillWanted();
    if (failure.failed()) return failure;
  }
  return Failure::None();
}

// A mount that comes when nobody waits for it any more would cover what somebody has begun to use since.
Failure Daemon::StillWanted() const {
  if (ending_->requested()) return {kExitOther, "stopped by a signal before the mount was ready"};
  if (ready_->awaited()) return Failure::None();
  Log(LogLevel::kWarn, "not_mounted",
      {{"dir", places_.dir}, {"hint", "whoever started dkfs was killed before the mount was ready; mount again"}});
  return {kExitOther, "nobody waits for the mount any more"};
}

Failure Daemon::LoadHints() {
  if (options_.hints.empty()) return Failure::None();
  auto hints = Hints::Load(options_.hints);
  if (!hints.ok()) return Failure::Environment(hints.status());
  hints_ = std::move(hints).value();
  return Failure::None();
}

Failure Daemon::OpenStore() {
  if (!options_.foreground) SetLogFd(-1);  // until there is a file: the terminal gets one line, from Readiness
  Status parent = file::MakeDirs(places_.store.substr(0, std::max<size_t>(places_.store.rfind('/'), 1)));
  if (!parent.ok()) return Failure::Environment(parent);
  StoreOptions store_options;
  store_options.retain = options_.retain;
  store_options.budget_bytes = options_.budget_bytes;
  store_options.on_sync = [this](uint64_t sync_ns, int group) { sync_stats_.Record(sync_ns, group); };
  ApplyTestKnobs(&store_options);
  auto store = Store::Open(places_.store, store_options);
  for (auto waited = kRetry; store.code() == EBUSY; waited += kRetry) {
    if (waited > kDyingPatience) {
      if (!IsFinishing(places_.store)) break;
      waited = kRetry;
    }
    if (Failure failure = StillWanted(); failure.failed()) return failure;
    std::this_thread::sleep_for(kRetry);
    store = Store::Open(places_.store, store_options);
  }
  if (!store.ok()) return StoreFailure(places_.store, store.status());
  store_ = std::move(store).value();
  Failure begun_again = BeginAgainIfCutShort(store_options);
  if (begun_again.failed()) return begun_again;
  if (!options_.foreground) {
    log_file_ = std::make_unique<LogFile>();
    Status opened = log_file_->Open(places_.store + "/dkfs.log");
    if (!opened.ok()) return Failure::Environment(opened);
  }
  return Failure::None();
}

// A first mount that was killed while it recorded names left a store without a root inode. Nobody has been served from
// it: what it recorded is dropped, and adoption begins again.
Failure Daemon::BeginAgainIfCutShort(const StoreOptions& store_options) {
  auto complete = Adopter::IsComplete(store_.get());
  if (!complete.ok()) return StoreFailure(places_.store, complete.status());
  adopted_ = *complete;
  if (adopted_ || store_->fresh()) return Failure::None();
  Status closed = store_->Close();
  store_.reset();
  for (const char* part : {"/index", "/journal"}) {
    if (closed.ok()) closed = file::RemoveTree(AT_FDCWD, places_.store + part);
  }
  if (!closed.ok()) return Failure::Environment(closed.Prefix("clearing what a killed first mount left"));
  auto store = Store::Open(places_.store, store_options);
  if (!store.ok()) return StoreFailure(places_.store, store.status());
  store_ = std::move(store).value();
  return Failure::None();
}

Failure Daemon::OpenDirectory() {
  TuneProcess();
  UniqueFd dir(::open(places_.dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir) return Failure::Environment(Status::FromErrno("opening " + places_.dir));
  dir_lock_.reset(::fcntl(dir.get(), F_DUPFD_CLOEXEC, 0));
  if (!LockPatiently(dir_lock_.get())) {
    return Failure::Environment(places_.dir +
                                " is locked by another dkfs, or by a program that holds it with flock(2): " +
                                "see lslocks, or fuser -v " + places_.dir);
  }
  backing_ = std::make_unique<Backing>(std::move(dir), places_.dir);
  return Failure::None();
}

Failure Daemon::RefuseForeign() {
  const auto identity = backing_->ReadIdentity();
  if (!adopted_ || !identity || identity->starts_with(store_->uuid() + ":")) return Failure::None();
  return Failure::Environment(places_.dir + " belongs to another store (" + identity->substr(0, identity->find(':')) +
                              "): mount it with that one, or, to have its content moved aside for what is in " +
                              places_.store +
                              ", remove its extended attribute trusted.dkfs.store (or user.dkfs.store)");
}

Failure Daemon::Assemble() {
  begun_at_ = store_->appended();
  inodes_ = std::make_unique<InodeTable>(store_.get());
  HydrateOptions hydrate;
  hydrate.trusted = trusted_ = IsTrusted();
  recognised_ = adopted_ && IsOwn(backing_->ReadIdentity());
  hydrate.bytes_per_second = options_.hydrate_rate;
  if (options_.hot_first) hydrate.first = store_->GetHotExtents();
  ApplyTestKnobs(&hydrate.defer);
  hydrate.start_warmer = [this] { return MountWarmer::Start(places_.dir); };
  hydrator_ = std::make_unique<Hydrator>(store_.get(), backing_.get(), inodes_.get(), &tree_lock_, hydrate);
  if (adopted_ && hydrate.trusted) drift_ = std::make_unique<Drift>(store_.get(), backing_.get(), inodes_.get());
  FileSystemOptions file_system;
  file_system.writeback_cache = options_.order == Order::kFsync;
  ShareDescriptors(&file_system);
  if (!hints_.empty() || options_.adapt) {
    file_system.layout_of_new = [this](std::string_view path) {
      auto hint = hints_.For(path);
      return hint || profiling_ == nullptr ? hint : profiling_->LayoutOfNew(path);
    };
  }
  file_system_ = std::make_unique<FileSystem>(store_.get(), backing_.get(), inodes_.get(), hydrator_.get(), &tree_lock_,
                                              file_system, drift_.get());
  ProfilingOptions profiling{.profiler = options_.profiler,
                             .adapt = options_.adapt,
                             .hints = &hints_,
                             .clock_ns = MonotonicNs,
                             .interval = options_.profiler.rate.interval};
  ApplyTestKnobs(&profiling);
  profiling_ = std::make_unique<Profiling>(&hotness_, file_system_.get(), store_.get(), profiling);
  adopter_ = std::make_unique<Adopter>(store_.get(), backing_.get());
  Log(LogLevel::kInfo, "store_open",
      {{"store", places_.store}, {"adopted", adopted_ ? "yes" : "no"}, {"trusted", hydrate.trusted ? "yes" : "no"}});
  return Failure::None();
}

// Whatever state it was left in.
bool Daemon::IsOwn(const std::optional<std::string>& identity) const {
  const std::string own = backing_->OwnIdentity(store_->uuid());
  return identity && (*identity == own || identity->starts_with(own + ":"));
}

// DIR is believed when it has never been served, or when it was left clean, is the very directory that was left, in the
// state it was left in (a copy that was put back has another Seq, or none), and is not empty against the store's word.
bool Daemon::IsTrusted() {
  if (!adopted_) return true;
  const auto clean = store_->CleanIdentity();
  // Without a Seq, both: its first mount failed, or was of a dkfs that wrote none.
  if (!IsOwn(clean) || clean != backing_->ReadIdentity()) return false;
  auto names = backing_->List("");
  if (!names.ok() || !names->empty()) return names.ok();
  auto empty = store_->IsEmptyDir(kRootFile);
  return empty.ok() && *empty;
}

Failure Daemon::MakeCpuLatency() {
  auto made = CpuLatency::Create(options_.cpu_latency, {});
  if (!made.ok()) return Failure::Environment("--cpu-latency: " + made.status().ToString());
  cpu_latency_ = std::move(made).value();
  return Failure::None();
}

Failure Daemon::ServeMetrics() {
  auto metrics = Metrics::Start(options_.metrics_addr, this);
  if (metrics.ok()) {
    metrics_ = std::move(metrics).value();
    return Failure::None();
  }
  if (options_.metrics_explicit) return Failure::Environment(metrics.status());
  Log(LogLevel::kWarn, "metrics_off",
      {{"addr", options_.metrics_addr}, {"error", metrics.status().ToString()}, {"hint", "pass --metrics-addr"}});
  if (!options_.foreground) {
    std::fprintf(stderr, "dkfs: warning: no metrics (see --metrics-addr): %s\n", metrics.status().ToString().c_str());
  }
  return Failure::None();
}

Failure Daemon::Adopt() {
  if (auto writer = adopted_ ? std::nullopt : Adopter::FindWriter(places_.dir)) {
    return Failure::Environment(places_.dir + " is open for writing by " + *writer +
                                "; stop it before the first mount");
  }
  Status alone = backing_->CheckPartialDir();
  if (alone.ok() && !adopted_) alone = adopter_->RefuseUnfinished();
  if (!alone.ok()) return Failure::Environment(alone);
  // First: a directory that refuses it is not adopted. One that is believed keeps what the clean mark says of it.
  const bool left_clean = adopted_ && trusted_;
  Status identified =
      backing_->WriteIdentity(left_clean ? *store_->CleanIdentity() : backing_->OwnIdentity(store_->uuid()));
  if (!identified.ok()) return Failure::Environment(identified);
  if (adopted_) return Failure::None();
  bool terminal = ::isatty(STDERR_FILENO) == 1;
  Status adopted = adopter_->AdoptNames([&](uint64_t inodes) {
    if (terminal) std::fprintf(stderr, "\rdkfs: recording names: %llu", static_cast<unsigned long long>(inodes));
    return !ending_->requested() && ready_->awaited();
  });
  if (terminal) std::fprintf(stderr, "\r\033[K");
  if (adopted.code() == ECANCELED) return StillWanted();
  return adopted.ok() ? Failure::None() : Failure::Environment(adopted.Prefix("adopting " + places_.dir));
}

Failure Daemon::Cover() {
  // Asked for before the mount, so that a failure leaves none behind.
  auto control = ControlServer::Start(this);
  if (!control.ok()) return Failure::Environment(control.status());
  control_ = std::move(control).value();
  UniqueFd connection;
  Failure failure = OpenFuse(&connection);  // before the switch, which the module brings with it
  if (failure.failed()) return failure;
  SessionOptions session;
  failure = HoldSwitch(&session);
  if (failure.failed()) return failure;
  failure = StillWanted();
  if (failure.failed()) return failure;
  auto covered = backing_->StatFs();
  if (!covered.ok()) return Failure::Environment(covered.status());
  const unsigned long flags = MountFlagsOf(options_.mount_flags, RestrictionsOf(*covered));
  failure = MountFuse({places_.dir, places_.store, flags}, connection.get());
  if (failure.failed()) return failure;
  session.writeback_cache = options_.order == Order::kFsync;
  session.counts = hotness_.requests();
  session.threads = std::clamp(kThreadsPerCpu * std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
  flusher_ = std::make_unique<MountFlusher>(places_.dir, Device());
  session.hand_over = [this](FileId file, uint64_t offset, uint64_t length) {
    return flusher_->HandOver(file, offset, length);
  };
  if (session.writeback_cache) RaiseDirtyLimit(places_.dir);
  auto made = Session::Create(std::move(connection), file_system_.get(), session);
  if (!made.ok()) {
    Detach(places_.dir, places_.store).Ignore("the failure that led here is the one to report");
    return Failure::Environment(made.status());
  }
  session_ = std::move(made).value();
  serving_ = session_.get();
  ending_->Mounted([this] { session_->Exit(); });
  return Failure::None();
}

Failure Daemon::HoldSwitch(SessionOptions* session) {
  const bool must = options_.io_uring == IoUring::kOn;
  if (options_.io_uring == IoUring::kOff) {
    no_ring_ = "--io-uring off";
    return Failure::None();
  }
  utsname kernel{};
  const bool trusted = ::uname(&kernel) == 0 && IsRingTrusted(kernel.release);
  auto held = FuseSwitch::HoldOn(must || trusted);
  if (!held.ok()) {
    no_ring_ = std::string(held.status().context());
    return must ? Failure::Environment("FUSE over io_uring: " + no_ring_) : Failure::None();
  }
  fuse_switch_ = std::move(held).value();
  session->ring = must ? RingUse::kAlways : RingUse::kIfOffered;
  return Failure::None();
}

// Nobody has been served yet: a mount that fails up to here leaves a directory that its users may go on to change.
Failure Daemon::BeginChanges() {
  const bool reclaims = recognised_ && !trusted_ && !Adopter::IsAllCaptured(*store_);
  Status unmarked = reclaims ? hydrator_->Reclaim() : Status::Ok();
  if (unmarked.ok() && drift_ != nullptr) unmarked = Adopter::ForgetCaptured(*store_);
  if (unmarked.ok()) unmarked = store_->RemoveCleanMark();
  return unmarked.ok() ? Failure::None() : Failure::Environment(unmarked);
}

// What is changed in DIR after a mount that failed is drift, as after a clean unmount. (Upkeep may have added records
// meanwhile, and the mark holds for the last one.)
void Daemon::LeaveAsFound() {
  fuse_switch_.reset();
  ending_->SessionEnded();
  if (session_ != nullptr) {
    Detach(places_.dir, places_.store).Ignore("the failure that led here is reported");
  }
  if (!trusted_) return;
  auto adopted = Adopter::IsComplete(store_.get());
  if (!adopted.ok() || !*adopted) return;  // the next mount begins again
  Status marked = backing_->SyncAll();
  if (marked.ok()) marked = store_->MarkClean(backing_->ReadIdentity().value_or(""));
  if (!marked.ok()) Log(LogLevel::kWarn, "clean_mark_lost", {{"error", marked.ToString()}});
}

void Daemon::OnReady(Readiness* ready) {
  fuse_switch_.reset();
  StartBackground();
  const Transport transport = session_->GetTransport();
  Log(LogLevel::kInfo, "mounted",
      {{"dir", places_.dir},
       {"pid", getpid()},
       {"version", DKFS_VERSION},
       {"io_uring", transport.io_uring ? "yes" : "no"},
       {"reason", no_ring_.empty() ? transport.reason : no_ring_},
       {"cpu_latency", cpu_latency_->status().reason}});
  Fault::Pass("daemon.ready").Ignore("the mount is there: only kill and pause mean something here");
  ready->Ready();
  StartHotness();  // nobody waits for it
  if (options_.foreground) return;
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null) ::dup2(null.get(), STDERR_FILENO);
}

void Daemon::StartBackground() {
  upkeep_ = std::make_unique<Upkeep>(file_system_.get(), hydrator_.get(), log_file_.get());
  cpu_latency_->Start([this] {
    uint64_t requests = 0;
    for (const OpSnapshot& op : session_->Requests()) requests += op.requests;
    return requests;
  });
  adopter_->StartContents(
      [this](FileId file, const Adopter::Body& body) { return file_system_->WithContent(file, body); },
      drift_ != nullptr);
  if (drift_ == nullptr) hydrator_->Start();
  catching_up_ = std::thread([this] { CatchUp(); });
}

// With drift to be found, hydration comes after the comparison: it would take what changed for what nobody knows.
void Daemon::CatchUp() {
  ScheduleInBulk();
  const auto stopped = [this] { return stop_catching_up_.load(); };
  if (drift_ != nullptr) {
    Status compared = CompareAll(stopped);
    if (compared.ok()) hydrator_->Start();
    if (!compared.ok() && !stopped()) {
      Log(LogLevel::kWarn, "drift_incomplete",
          {{"error", compared.ToString()}, {"hint", "the rest is compared on first use; no hydration in this mount"}});
    }
  }
  Status ended = file_system_->EndOrphans(begun_at_, stopped);
  if (!ended.ok() && !stopped()) {
    Log(LogLevel::kWarn, "orphans_left",
        {{"error", ended.ToString()}, {"hint", "files that were removed keep their space until the next mount"}});
  }
}

// The number of the mount, "" when it is not known: found in the table of mounts, since the mount itself is never
// opened.
std::string Daemon::Device() const {
  auto mounts = ReadMountInfo();
  auto mount = mounts.ok() ? MountAt(*mounts, places_.dir) : std::nullopt;
  return mount ? mount->device : "";
}

void Daemon::StartHotness() {
  hotness_.Start(Device());
  if (options_.hotness != HotnessMode::kOff) profiling_->Start();
}

Status Daemon::CompareAll(const std::function<bool()>& cancel) {
  if (drift_ == nullptr || compared_) return Status::Ok();
  DKFS_TRY(file_system_->CompareAll(cancel));
  if (cancel()) return Status::Error(EINTR, "comparing the directory with the store");
  adopter_->Wake();  // first: once compared_ is seen, what drift brought no longer counts as protected
  compared_ = true;
  return Status::Ok();
}

void Daemon::StopBackground() {
  stop_catching_up_ = true;
  if (catching_up_.joinable()) catching_up_.join();
  upkeep_.reset();
  cpu_latency_->Stop();
  profiling_->Stop();
  hotness_.Stop();
  adopter_->Stop();
  hydrator_->Stop();
}

Failure Daemon::Finish() {
  finishing_ = true;
  Log(LogLevel::kInfo, "unmounted", {{"dir", places_.dir}});
  Status complete = Fault::Pass("daemon.unmount");
  StopBackground();
  if (complete.ok()) complete = CompleteBacking();
  if (!complete.ok()) {
    Log(LogLevel::kWarn, "directory_incomplete",
        {{"dir", places_.dir}, {"error", complete.ToString()}, {"hint", "the store has everything: mount again"}});
  }
  Status closed = store_->Close();
  if (closed.ok()) {
    Log(LogLevel::kInfo, "store_closed", {{"store", places_.store}, {"clean", complete.ok() ? "yes" : "no"}});
  } else {
    Log(LogLevel::kError, "store_close",
        {{"error", closed.ToString()}, {"hint", "check the store's disk, mount again"}});
  }
  control_->AnnounceClosed(complete.ok() ? closed : complete);
  if (!closed.ok()) return {kExitOther, "closing the store: " + closed.ToString()};
  if (!complete.ok())
    return {kExitOther, "the store is closed, the directory alone is not complete: " + complete.ToString()};
  return Failure::None();
}

// Ok only when DIR alone is everything, on disk, and the store says so.
Status Daemon::CompleteBacking() {
  if (ending_->hurried()) return Status::Error(EINTR, "a second signal ended the mount at once");
  const auto hurried = [this] { return ending_->hurried(); };
  DKFS_TRY(CompareAll(hurried));
  DKFS_TRY(hydrator_->Finish(hurried));
  // Both change the root's times, which are written after them.
  DKFS_TRY(backing_->RemovePartialDirIfEmpty());
  const std::string identity = backing_->OwnIdentity(store_->uuid()) + ":" + std::to_string(store_->appended().value);
  DKFS_TRY(backing_->WriteIdentity(identity));
  hydrator_->NoteTouched(kRootFile);
  DKFS_TRY(hydrator_->WriteTimesAndFingerprints());
  DKFS_TRY(backing_->SyncAll());
  return store_->MarkClean(identity);
}

DaemonReport Daemon::Report() const {
  DaemonReport report;
  report.places = places_;
  report.order = options_.order;
  report.store = store_->GetStatus();
  report.hydration = hydrator_->progress();
  report.cpu_latency = cpu_latency_->status();
  report.syncs = sync_stats_.Snapshot();
  report.hotness = hotness_.status();
  report.layout_changes = profiling_->changes();
  report.backing_error = file_system_->backing_error();
  if (const Session* session = serving_.load()) {
    report.requests = session->Requests();
    report.transport = session->GetTransport();
    if (!no_ring_.empty()) report.transport.reason = no_ring_;
  }
  AdoptProgress adoption = adopter_->progress();
  report.protection_known = adoption.counted && (drift_ == nullptr || compared_);
  report.adopting = !adoption.done || !report.protection_known;
  report.total_bytes = adoption.bytes_total;
  report.unprotected_bytes = adoption.bytes_waiting;
  report.last_error = LastError();
  report.uptime = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - started_);
  report.finishing = finishing_;
  return report;
}

}  // namespace dkfs
