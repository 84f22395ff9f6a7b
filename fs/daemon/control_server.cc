#include "fs/daemon/control_server.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "fs/daemon/control_socket.h"
#include "fs/daemon/daemon.h"
#include "fs/daemon/profile_report.h"
#include "fs/daemon/status_report.h"
#include "store/base/log.h"

namespace dkfs {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kRetry{100};

void LogRefused(const Status& status) {
  Log(LogLevel::kWarn, "control_refused",
      {{"error", status.ToString()}, {"hint", "raise the limits of open files, threads and memory"}});
}

json AnswerOf(const Status& status) {
  if (status.ok()) return {{"ok", true}};
  return {{"ok", false}, {"error", status.ToString()}, {"code", status.code()}};
}

// How much of an answer one list may be: two fit into a line.
class Room {
 public:
  bool Takes(const json& item) {
    taken_ += item.dump(-1, ' ', false, json::error_handler_t::replace).size() + 1;
    return taken_ <= kMaxControlLine / 3;
  }

 private:
  size_t taken_ = 0;
};

// As many sets, and paths in them, as fit into a line; "entries" and "left_out" tell that there are more.
json AsideAnswer(const Result<std::vector<Aside::Set>>& sets) {
  if (!sets.ok()) return AnswerOf(sets.status());
  json list = json::array();
  Room for_sets, for_paths;
  for (const Aside::Set& set : *sets) {
    json one = {{"time", set.time}, {"place", set.place}, {"entries", set.entries}, {"bytes", set.bytes}};
    if (!for_sets.Takes(one)) break;
    json& paths = one["paths"] = json::array();
    for (const std::string& path : set.paths) {
      if (!for_paths.Takes(path)) break;
      paths.push_back(path);
    }
    list.push_back(std::move(one));
  }
  const size_t left_out = sets->size() - list.size();
  return {{"ok", true}, {"aside", std::move(list)}, {"left_out", left_out}};
}

// The files that were written most, as many as fit into a line.
json HotnessAnswer(const Result<HotnessCounts>& read) {
  constexpr size_t kMostFiles = 1000;
  if (!read.ok()) return AnswerOf(read.status());
  std::vector<FileWrites> files = (*read).files;
  std::sort(files.begin(), files.end(),
            [](const FileWrites& a, const FileWrites& b) { return a.counts.bytes > b.counts.bytes; });
  files.resize(std::min(files.size(), kMostFiles));
  const auto pages = PagesByFile(*read);
  json list = json::array();
  for (const FileWrites& f : files) {
    auto found = pages.find(f.file);
    const PageWrites of = found == pages.end() ? PageWrites() : found->second;
    list.push_back({{"file", f.file.value},
                    {"writes", f.counts.writes},
                    {"bytes", f.counts.bytes},
                    {"sequential", f.counts.sequential},
                    {"back", f.counts.back},
                    {"fsyncs", f.counts.fsyncs},
                    {"mapped_pages", f.counts.mapped_pages},
                    {"handed_over_bytes", f.counts.handed_over_bytes},
                    {"sizes", f.counts.sizes},
                    {"cgroup", f.counts.cgroup},
                    {"extents", of.extents},
                    {"pages", of.pages},
                    {"rewritten_pages", of.rewritten}});
  }
  return {{"ok", true}, {"files", std::move(list)}};
}

// As many as fit into a line.
json TopAnswer(const Daemon& daemon) {
  constexpr size_t kMostFiles = 1000;
  json list = TopReport(daemon.places().dir, daemon.profiling().Top(kMostFiles));
  json files = json::array();
  Room room;
  for (json& file : list) {
    if (!room.Takes(file)) break;
    files.push_back(std::move(file));
  }
  return {{"ok", true}, {"files", std::move(files)}};
}

json ExplainAnswer(const Daemon& daemon, const json& request) {
  auto file = request.find("file");
  if (file == request.end() || !file->is_number_unsigned()) return AnswerOf(Status::Error(EINVAL, "explain: no file"));
  auto profile = daemon.profiling().Explain(FileId(file->get<uint64_t>()));
  if (!profile.ok()) return AnswerOf(profile.status());
  return {{"ok", true}, {"file", ExplainReport(daemon.places().dir, *profile, daemon.profiling().adapts())}};
}

std::string TextOf(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Start(Daemon* daemon) {
  DKFS_TRY_ASSIGN(UniqueFd listener, ListenIn(daemon->places().store));
  return std::unique_ptr<ControlServer>(new ControlServer(daemon, std::move(listener)));
}

ControlServer::ControlServer(Daemon* daemon, UniqueFd listener) : daemon_(daemon), listener_(std::move(listener)) {
  acceptor_ = std::thread([this] { Accept(); });
}

ControlServer::~ControlServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);  // accept returns
  acceptor_.join();
  ReapClients(true);
}

void ControlServer::Accept() {
  bool told = false;
  while (true) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (!socket && errno == EINVAL) return;  // the destructor
    if (!socket) {
      if (!std::exchange(told, true)) LogRefused(Status::FromErrno("accepting dkfsctl"));
      std::this_thread::sleep_for(kRetry);
      continue;
    }
    told = false;
    ReapClients(false);
    MutexLock lock(mutex_);
    if (clients_.size() < kMaxClients) StartClient(std::move(socket));  // otherwise hung up: the client says so
  }
}

void ControlServer::StartClient(UniqueFd socket) {
  Client& client = clients_.emplace_back();
  client.socket = std::move(socket);
  try {
    client.thread = std::thread([this, &client] { Serve(&client); });
  } catch (const std::system_error& error) {
    LogRefused(Status::Error(error.code().value(), "starting a thread for dkfsctl"));
    clients_.pop_back();
  }
}

void ControlServer::ReapClients(bool all) {
  std::list<Client> done;
  {
    MutexLock lock(mutex_);
    for (auto it = clients_.begin(); it != clients_.end();) {
      auto next = std::next(it);
      if (all) ::shutdown(it->socket.get(), SHUT_RDWR);
      if (all || it->gone) done.splice(done.end(), clients_, it);
      it = next;
    }
  }
  for (Client& client : done) client.thread.join();
}

void ControlServer::Serve(Client* client) {
  LineReader reader(client->socket.get());
  while (true) {
    auto request = reader.Next();
    if (!request.ok()) {
      WriteLine(client->socket.get(), AnswerOf(request.status())).Ignore("hanging up anyway");
      break;
    }
    if (!request->has_value()) break;
    const bool unmount = TextOf(**request, "command") == "unmount";
    if (unmount) {
      MutexLock lock(mutex_);  // before it is carried out, so that the announcement cannot be missed
      client->waits_for_close = client->answering = true;
    }
    const Status answered = WriteLine(client->socket.get(), Answer(**request));
    if (unmount) {
      MutexLock lock(mutex_);
      client->answering = false;
      answered_.SignalAll();
    }
    if (!answered.ok()) break;
  }
  ::shutdown(client->socket.get(), SHUT_RDWR);
  MutexLock lock(mutex_);
  client->gone = true;
}

json ControlServer::Answer(const json& request) {
  std::string command = TextOf(request, "command");
  Log(LogLevel::kDebug, "control", {{"command", command}});
  if (command == "status") return {{"ok", true}, {"status", StatusReport(daemon_->Report())}};
  if (command == "hotness") return HotnessAnswer(daemon_->ReadHotness());
  if (command == "top") return TopAnswer(*daemon_);
  if (command == "explain") return ExplainAnswer(*daemon_, request);
  if (command == "sync") return AnswerOf(daemon_->Sync());
  if (command == "unmount") return AnswerOf(daemon_->UnmountNow());
  if (command == "aside-list") return AsideAnswer(daemon_->ListAside());
  if (command == "aside-remove") return AnswerOf(daemon_->RemoveAside(TextOf(request, "time")));
  return AnswerOf(Status::Error(EINVAL, "unknown command '" + command + "'"));
}

void ControlServer::AnnounceClosed(const Status& status) {
  json line = AnswerOf(status);
  line["event"] = "closed";
  MutexLock lock(mutex_);
  // umount(2) may return long after the session has ended; it waits for the kernel, never for us.
  const auto answering = [](const Client& client) { return client.answering; };
  while (std::any_of(clients_.begin(), clients_.end(), answering)) answered_.Wait(mutex_);
  for (Client& client : clients_) {
    if (client.waits_for_close && !client.gone) WriteLine(client.socket.get(), line).Ignore("the client left");
  }
}

}  // namespace dkfs
