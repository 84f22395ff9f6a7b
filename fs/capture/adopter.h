// Adopter: takes a directory with data under dkfs's protection at its first mount, and captures adopted contents in the
// background, also those that drift left behind.
//
// Names and attributes are recorded before the mount is ready; the root inode comes last, so a store without one has
// never been served and may be begun again (IsComplete). Contents follow, one file at a time, 1 MiB under the inode's
// lock.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "fs/backing/backing.h"
#include "fs/capture/capture.h"
#include "fs/inode/inode.h"
#include "store/store.h"

namespace dkfs {

struct AdoptProgress {
  bool done = false;           // no adopted content waits to be captured
  bool counted = false;        // the two figures below are known: not so at first, and again after Wake
  uint64_t bytes_total = 0;    // content of regular files in the store, by size
  uint64_t bytes_waiting = 0;  // of them, not captured (or already lost before): gone if DIR is lost now
};

class Adopter {
 public:
  Adopter(Store* store, Backing* backing) : store_(store), backing_(backing), capture_(store, false) {}
  ~Adopter() { Stop(); }

  // False when the names have never been recorded in full: the store is fresh, or an earlier first mount was cut short.
  static Result<bool> IsComplete(Store* store);
  // Records all names and attributes, synced on return. REQUIRES: not mounted yet. ECANCELED: `progress` said false.
  Status AdoptNames(const std::function<bool(uint64_t inodes)>& progress);
  // EEXIST when a mount with another store left files unfinished: their names, and what they lack, only that store
  // knows.
  Status RefuseUnfinished();
  // Whether all content is known to be captured, but for what is lost, so that nobody need look at every inode.
  static bool IsAllCaptured(const Store& store);
  static Status ForgetCaptured(const Store& store);  // drift may find more; durable with the clean mark's removal
  // Who holds something below the directory open for writing: a process, as "PID (NAME) PATH", or a loop device;
  // nullopt when there is nobody. `dir` is the absolute path of DIR.
  static std::optional<std::string> FindWriter(const std::string& dir);

  // Captures in a background thread until nothing is left, and again after each Wake: `may_drift` says that one will
  // come. `open` gives the inode with its backing file open and its lock held exclusively while `body` runs (fs/ops
  // does that).
  using Body = std::function<Status(Inode&)>;
  using WithContent = std::function<Status(FileId, const Body&)>;
  void StartContents(WithContent open, bool may_drift = false);
  // Drift may have made new content to adopt.
  void Wake();
  void Stop();
  AdoptProgress progress() const;

 private:
  void Run();
  struct Round {
    bool any = false;         // there was something to capture
    bool all = true;          // nothing is left that a later round could capture
    uint64_t not_stored = 0;  // bytes of the files that could not be captured whole
  };
  Status CaptureFile(FileId file, bool* all);  // *all becomes true where it is an error, but what is there is captured
  Status CaptureRound(Round* round);
  Status NoteCaptured();

  Store* const store_;
  Backing* const backing_;
  Capture capture_;
  WithContent open_;
  std::thread thread_;
  mutable Mutex mutex_;
  CondVar wake_;
  bool stop_ GUARDED_BY(mutex_) = false;
  bool again_ GUARDED_BY(mutex_) = true;
  bool may_drift_ GUARDED_BY(mutex_) = false;
  std::atomic<bool> done_{false}, counted_{false};
  std::atomic<uint64_t> bytes_total_{0}, bytes_waiting_{0};
};

}  // namespace dkfs
