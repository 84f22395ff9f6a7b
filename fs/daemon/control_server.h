// ControlServer: answers dkfsctl on STORE/control.sock. One thread accepts, one more for each client.
//
//   status                -> "status": see status_report.h
//   sync                  -> when everything recorded so far is synced
//   unmount               -> when the mount is gone; later, always after it, {"event": "closed", "ok": ...}
//   aside-list            -> "aside": [{"time", "place", "entries", "bytes", "paths"}]; "left_out": how many more
//   aside-remove, "time"  -> "": removes all
#pragma once

#include <list>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "store/base/mutex.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

class Daemon;

class ControlServer {
 public:
  static Result<std::unique_ptr<ControlServer>> Start(Daemon* daemon);
  ~ControlServer();  // hangs up on every client

  // Tells clients that wait for it that the store is closed; `status` says whether DIR is complete.
  void AnnounceClosed(const Status& status) EXCLUDES(mutex_);

 private:
  static constexpr size_t kMaxClients = 32;
  struct Client {
    UniqueFd socket;
    bool waits_for_close = false;
    bool answering = false;  // an unmount: its answer comes before the announcement
    bool gone = false;
    std::thread thread;
  };
  ControlServer(Daemon* daemon, UniqueFd listener);
  void Accept() EXCLUDES(mutex_);
  void StartClient(UniqueFd socket) REQUIRES(mutex_);
  void Serve(Client* client) EXCLUDES(mutex_);
  nlohmann::json Answer(const nlohmann::json& request);
  void ReapClients(bool all) EXCLUDES(mutex_);

  Daemon* const daemon_;
  UniqueFd listener_;
  std::thread acceptor_;
  Mutex mutex_;
  CondVar answered_;
  std::list<Client> clients_ GUARDED_BY(mutex_);
};

}  // namespace dkfs
