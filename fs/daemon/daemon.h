// Daemon: one mount from opening the store to closing it.
//
//   Start: open store -> decide what DIR is worth -> adopt -> mount; then requests are served until the mount is gone
//   Finish: complete the backing directory -> sync it -> clean mark -> close the store
//
// Owns everything of the mount. The mount point is opened once, before it is covered, and never again.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fs/backing/backing.h"
#include "fs/capture/adopter.h"
#include "fs/capture/drift.h"
#include "fs/daemon/cpu_latency.h"
#include "fs/daemon/ending.h"
#include "fs/daemon/failure.h"
#include "fs/daemon/options.h"
#include "fs/daemon/profiling.h"
#include "fs/daemon/readiness.h"
#include "fs/daemon/sync_stats.h"
#include "fs/fuse/session.h"
#include "fs/hotness/hotness_source.h"
#include "fs/hydrate/aside.h"
#include "fs/hydrate/hydrator.h"
#include "fs/inode/inode.h"
#include "fs/ops/file_system.h"
#include "fs/profile/hints.h"
#include "store/store.h"

namespace dkfs {

class ControlServer;
class FuseSwitch;
class LogFile;
class Metrics;
class MountFlusher;
class Upkeep;

struct Places {
  std::string dir;    // absolute, real
  std::string store;  // absolute
};

// What status and metrics show; filled without waiting for anything.
struct DaemonReport {
  Places places;
  Order order = Order::kCalls;
  StoreStatus store;
  HydrateProgress hydration;
  RequestSnapshot requests{};
  SyncSnapshot syncs;
  HotnessStatus hotness;
  Transport transport;
  CpuLatencyStatus cpu_latency;
  LayoutChanges layout_changes;
  bool adopting = false;
  bool protection_known = false;  // the two below: not before drift is compared and the store's files are counted
  uint64_t unprotected_bytes = 0, total_bytes = 0;  // content not captured yet, and all content (adoption)
  std::string last_error;
  std::chrono::seconds uptime{0};
  bool finishing = false;
  int backing_error = 0;  // errno of the last change the backing directory refused, 0 when it takes them
  bool degraded() const { return !store.error.ok() || hydration.blocks_damaged > 0 || backing_error != 0; }
};

class Daemon {
 public:
  Daemon(const Options& options, Places places);
  ~Daemon();

  // The whole life. Says through `ready` when the mount is usable or why it will not be; the failure is returned too.
  Failure Run(Readiness* ready);

  // For the control socket and metrics; any thread.
  DaemonReport Report() const;
  Result<HotnessCounts> ReadHotness() const { return hotness_.Read(); }
  Profiling& profiling() const { return *profiling_; }  // while the control socket is there
  Status Sync() { return store_->Sync(); }
  Status UnmountNow() { return ending_->UnmountNow(); }
  Result<std::vector<Aside::Set>> ListAside() { return hydrator_->aside().List(); }
  Status RemoveAside(const std::string& time) { return hydrator_->aside().Remove(time); }
  const Places& places() const { return places_; }

 private:
  Failure Start();
  Failure StillWanted() const;
  Failure OpenStore();
  Failure BeginAgainIfCutShort(const StoreOptions& store_options);
  Failure OpenDirectory();
  Failure RefuseForeign();
  Failure Assemble();
  Failure LoadHints();
  bool IsOwn(const std::optional<std::string>& identity) const;
  bool IsTrusted();
  Failure ServeMetrics();
  Failure MakeCpuLatency();
  Failure Adopt();
  Failure Cover();
  Failure BeginChanges();
  void LeaveAsFound();
  void OnReady(Readiness* ready);
  void StartBackground();
  void CatchUp();
  Failure HoldSwitch(SessionOptions* session);
  std::string Device() const;
  void StartHotness();
  Status CompareAll(const std::function<bool()>& cancel);
  void StopBackground();
  Failure Finish();
  Status CompleteBacking();

  const Options options_;
  const Places places_;
  const std::chrono::steady_clock::time_point started_;
  const Readiness* ready_ = nullptr;   // while it starts
  bool adopted_ = false;               // the names of DIR are all in the store
  bool recognised_ = false;            // DIR is the one that the store was made for
  bool trusted_ = false;               // DIR was as the store says when this mount began
  Seq begun_at_;                       // the last record of the mounts before
  std::atomic<bool> compared_{false};  // drift: everything
  std::atomic<bool> finishing_{false}, stop_catching_up_{false};
  std::string no_ring_;                           // why the kernel was not asked for io_uring; empty: it was
  std::atomic<const Session*> serving_{nullptr};  // session_, for reports from other threads

  // Destroyed from the bottom up: what uses comes after what is used.
  SyncStats sync_stats_;
  HotnessSource hotness_;
  Hints hints_;
  std::unique_ptr<LogFile> log_file_;
  std::unique_ptr<Store> store_;
  UniqueFd dir_lock_;
  std::unique_ptr<Backing> backing_;
  std::unique_ptr<InodeTable> inodes_;
  SharedMutex tree_lock_;
  std::unique_ptr<Hydrator> hydrator_;
  std::unique_ptr<Drift> drift_;
  std::unique_ptr<FileSystem> file_system_;
  std::unique_ptr<Profiling> profiling_;
  std::unique_ptr<Adopter> adopter_;
  std::thread catching_up_;
  std::unique_ptr<FuseSwitch> fuse_switch_;  // until the protocol has been agreed on
  std::unique_ptr<MountFlusher> flusher_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Ending> ending_;
  std::unique_ptr<CpuLatency> cpu_latency_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<Upkeep> upkeep_;
};

}  // namespace dkfs
