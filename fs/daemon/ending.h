// Ending: how a mount comes to its end. Signals and `dkfsctl unmount` arrive here; the mount is taken away while the
// session goes on serving, and whoever must stop early is told.
//
//   serving --(TERM, INT, HUP)--> unmounted, or detached while somebody still uses it --(last user closes)--> finishing
//   any     --(a second signal)--> finishing at once, without completing the backing directory
//
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "store/base/mutex.h"
#include "store/base/status.h"

namespace dkfs {

class Ending {
 public:
  struct Patience {
    std::chrono::milliseconds grace{0};   // how long a signal waits for users of the mount before it is detached
    std::chrono::milliseconds linger{0};  // how long a detached mount is served; 0: until the last user closes
  };
  // `store` is the source of the mount.
  Ending(std::string dir, std::string store, Patience patience)
      : dir_(std::move(dir)), store_(std::move(store)), patience_(patience) {}
  ~Ending();

  // Blocks these signals, and no other, in the calling thread, to be inherited by all made later, and starts the thread
  // that takes them.
  void Start();
  // The mount is there now; `exit_session` makes Session::Run return early and must stay callable as long as this
  // lives.
  void Mounted(std::function<void()> exit_session) EXCLUDES(mutex_);
  // The session has ended, or will not begin: nothing is left to unmount.
  void SessionEnded() EXCLUDES(mutex_);

  // For the control socket: EBUSY when somebody uses the mount.
  Status UnmountNow() EXCLUDES(mutex_);
  bool requested() const EXCLUDES(mutex_);  // somebody wants the end
  // A second signal, and not the first one sent twice at once as by timeout(1): nothing may take long any more.
  bool hurried() const EXCLUDES(mutex_);

 private:
  void WatchSignals();
  void StartRemover() EXCLUDES(mutex_);
  void TakeMountAway() EXCLUDES(mutex_);
  bool WaitEnded(std::chrono::milliseconds limit) EXCLUDES(mutex_);
  void ExitSession() EXCLUDES(mutex_);

  const std::string dir_, store_;
  const Patience patience_;
  std::thread watcher_, remover_;

  mutable Mutex mutex_;
  CondVar changed_;
  int signals_ GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point first_signal_ GUARDED_BY(mutex_);
  bool mounted_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::function<void()> exit_session_ GUARDED_BY(mutex_);
};

}  // namespace dkfs
