#include "fs/fuse/session.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/uio.h>

#include <atomic>
#include <chrono>
#include <system_error>
#include <thread>
#include <vector>

#include "fs/fuse/operations.h"
#include "fs/fuse/page_buffer.h"
#include "fs/fuse/request_check.h"
#include "fs/fuse/ring.h"
#include "store/base/fault.h"
#include "store/base/log.h"
#include "store/base/mutex.h"
#include "store/base/scheduling.h"

namespace dkfs {
namespace {

constexpr size_t kMaxWriteBytes = 1 << 20;
constexpr size_t kRequestHeadBytes = 4096;  // libfuse's room for a request's structs and names before the data
constexpr size_t kNulBytes = 2;             // behind each request: no string in it runs on
constexpr uint32_t kAwaitsWrites = 44;      // the protocol of Linux 6.16
constexpr unsigned kMaxBackground = 64;     // readahead, writeback and async direct requests under way at once
constexpr int kReadError = -1, kWriteError = -1;

// A read that ends the session is always ENODEV to libfuse, whether unmounted, aborted, or the fake kernel hung up.
ssize_t ReadConnection(int fd, void* buffer, size_t size, void*) {
  ssize_t n = ::read(fd, buffer, size);
  if (n == 0 || (n < 0 && errno == ECONNABORTED)) {
    errno = ENODEV;
    return kReadError;
  }
  return n;
}

// libfuse 3.17 does not know the flag.
void TakeUpRing(struct iovec* parts, int count) {
  auto* init = static_cast<fuse_init_out*>(parts[count - 1].iov_base);
  init->flags2 |= static_cast<uint32_t>(ring_abi::kInitFlag >> 32);
}

ssize_t WriteConnection(int fd, struct iovec* parts, int count, void* user) {
  const auto* out = static_cast<fuse_out_header*>(parts[0].iov_base);
  if (RingPlace* place = CurrentRequest().place; place != nullptr && place->Owes(out->unique)) {
    Status answered = place->Answer(parts, count);
    if (answered.ok()) return out->len;
    errno = answered.code();
    return kWriteError;
  }
  auto* connection = static_cast<Connection*>(user);
  if (connection->ring_init != 0 && out->unique == connection->ring_init && out->error == 0) TakeUpRing(parts, count);
  return ::writev(fd, parts, count);
}

bool Want(fuse_conn_info* conn, uint64_t flag) {
  if (fuse_set_feature_flag(conn, flag)) return true;
  Log(LogLevel::kDebug, "kernel_lacks_feature", {{"capability", flag}});
  return false;
}

void Negotiate(void* user, fuse_conn_info* conn) {
  auto* connection = static_cast<Connection*>(user);
  // Only this mount changes the tree, so the kernel's caches are dropped when dkfs says so, never on a guess by mtime.
  fuse_unset_feature_flag(conn, FUSE_CAP_AUTO_INVAL_DATA);
  for (uint64_t flag : {FUSE_CAP_EXPLICIT_INVAL_DATA, FUSE_CAP_ASYNC_READ, FUSE_CAP_ASYNC_DIO, FUSE_CAP_PARALLEL_DIROPS,
                        FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO, FUSE_CAP_CACHE_SYMLINKS,
                        FUSE_CAP_NO_OPEN_SUPPORT, FUSE_CAP_NO_OPENDIR_SUPPORT, FUSE_CAP_EXPORT_SUPPORT,
                        FUSE_CAP_DONT_MASK, FUSE_CAP_POSIX_ACL, FUSE_CAP_HANDLE_KILLPRIV_V2}) {
    Want(conn, flag);
  }
  connection->setxattr_ext = Want(conn, FUSE_CAP_SETXATTR_EXT);
  // An O_TRUNC comes as its own SETATTR, a record of its own; locks stay in the kernel; data is not worth splicing.
  for (uint64_t flag : {FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_POSIX_LOCKS, FUSE_CAP_FLOCK_LOCKS, FUSE_CAP_IOCTL_DIR,
                        FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE}) {
    fuse_unset_feature_flag(conn, flag);
  }
  if (connection->writeback_cache) Want(conn, FUSE_CAP_WRITEBACK_CACHE);
  conn->max_write = kMaxWriteBytes;
  conn->max_background = kMaxBackground;
  conn->no_interrupt = 1;  // nothing here waits for long without being bounded by the disk
  connection->awaits_writes = conn->proto_minor >= kAwaitsWrites;
  connection->file_system->Begin();
  connection->initialised = true;
}

void WakeHandler(int) {}

template <class Body>
Status StartThread(const char* name, std::vector<std::thread>* threads, Body body) {
  DKFS_TRY(Fault::Pass("session.thread"));
  try {
    threads->emplace_back([name, body] {
      pthread_setname_np(pthread_self(), name);
      body();
    });
  } catch (const std::system_error& error) {
    return Status::Error(error.code().value(), "starting a thread");
  }
  return Status::Ok();
}

}  // namespace

RawRequest& CurrentRequest() {
  thread_local RawRequest current;
  return current;
}

Caller CallerOf(fuse_req_t request) {
  const fuse_ctx* ctx = fuse_req_ctx(request);
  return {ctx->uid, ctx->gid, ctx->pid, ctx->umask, CurrentRequest().header->unique};
}

class Session::Impl {
 public:
  Impl(FileSystem* file_system, const SessionOptions& options) : options_(options) {
    connection_.file_system = file_system;
    connection_.stats = &stats_;
    connection_.counts = options.counts;
    connection_.hand_over = options.hand_over;
    connection_.writeback_cache = options.writeback_cache;
  }
  ~Impl() {
    if (session_ != nullptr) fuse_session_destroy(session_);  // closes the connection
  }

  Status Open(UniqueFd connection);
  Status Run(const std::function<void()>& on_ready);
  void Exit();
  RequestSnapshot Requests() const { return stats_.Snapshot(); }
  Transport GetTransport() const;

 private:
  bool ServeOne(PageBuffer* buffer);
  void ServeRequest(Bytes request, const fuse_buf& buf, RingPlace* place);
  Status Agree();
  std::string PrepareRing(Bytes init);
  Status StartThreads(std::vector<std::thread>* threads);
  void ServeAll();
  bool ServePlace(RingPlace* place);
  bool Survives(const RingPlace& place, const Status& lost);
  void Refuse(Bytes request, RingPlace* place);
  Status HangUp();
  template <class Body>
  void AsServing(Body&& body);
  bool ended() const { return fuse_session_exited(session_) != 0; }

  const SessionOptions options_;
  Connection connection_;
  RequestStats stats_;
  fuse_session* session_ = nullptr;
  int fd_ = -1;

  // Written before agreed_ is set, constant after that.
  std::vector<std::unique_ptr<RingPlace>> places_;
  std::string transport_reason_;
  std::atomic<bool> agreed_{false};

  Mutex mutex_;
  CondVar left_;
  std::vector<pthread_t> serving_ GUARDED_BY(mutex_);
};

Status Session::Impl::Open(UniqueFd connection) {
  struct sigaction action {};
  action.sa_handler = WakeHandler;  // no SA_RESTART: a blocked read returns EINTR
  sigaction(SIGRTMIN, &action, nullptr);

  fuse_lowlevel_ops ops{};
  ops.init = Negotiate;
  SetNameOperations(&ops);
  SetAttributeOperations(&ops);
  SetContentOperations(&ops);
  // The kernel asks for holes without handing its dirty pages over first, so data in its cache would pass for a hole:
  // without an answer it takes the whole file for data.
  if (options_.writeback_cache) ops.lseek = nullptr;
  SetDirectoryOperations(&ops);
  char name[] = "dkfs";
  char* argv[] = {name, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, argv);
  session_ = fuse_session_new(&args, &ops, sizeof ops, &connection_);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return Status::Error(EPROTO, "starting a FUSE session");
  connection_.session = session_;
  fuse_custom_io io{};
  io.read = ReadConnection;
  io.writev = WriteConnection;
  int result = fuse_session_custom_io(session_, &io, sizeof io, connection.get());
  if (result != 0) return Status::Error(-result, "starting a FUSE session");
  fd_ = connection.release();  // the session owns it now
  return Status::Ok();
}

// An answer to a request that libfuse must not see.
void Session::Impl::Refuse(Bytes request, RingPlace* place) {
  if (request.size() < sizeof(fuse_in_header)) return;
  auto header = LoadLe<fuse_in_header>(request.data());
  Log(LogLevel::kError, "request_malformed", {{"opcode", header.opcode}, {"hint", "a bug in the kernel or in dkfs"}});
  if (place != nullptr) return place->AnswerIfOwed();
  fuse_out_header out{sizeof(fuse_out_header), -EIO, header.unique};
  if (::write(fd_, &out, sizeof out) < 0) return;  // the connection has ended: nobody waits
}

// Reads and serves one request. False: the connection has ended.
bool Session::Impl::ServeOne(PageBuffer* buffer) {
  // The data of a WRITE begins on a page boundary.
  constexpr size_t kLead = PageBuffer::kPage - sizeof(fuse_in_header) - sizeof(fuse_write_in);
  constexpr size_t kCapacity = kMaxWriteBytes + kRequestHeadBytes;
  std::byte* memory = buffer->Get(kLead + kCapacity + kNulBytes).data() + kLead;
  fuse_buf buf{};
  buf.mem = memory;
  int got = fuse_session_receive_buf(session_, &buf);
  if (got == -EINTR || got == -EAGAIN || got == -EIO) return !ended();
  if (got <= 0) {
    fuse_session_exit(session_);
    return false;
  }
  memory[got] = memory[got + 1] = std::byte{0};
  ServeRequest({memory, static_cast<size_t>(got)}, buf, nullptr);
  return !ended();
}

void Session::Impl::ServeRequest(Bytes request, const fuse_buf& buf, RingPlace* place) {
  if (!IsWholeRequest(request, connection_.setxattr_ext)) return Refuse(request, place);
  const auto* header = reinterpret_cast<const fuse_in_header*>(request.data());
  if (header->opcode == FUSE_INIT && !connection_.initialised) {
    transport_reason_ = PrepareRing(request);
    if (!places_.empty()) connection_.ring_init = header->unique;
  }
  CurrentRequest() = {header, request.data() + sizeof(fuse_in_header), place};
  fuse_session_process_buf(session_, &buf);
  CurrentRequest() = {};
}

// Makes the places if the kernel's INIT offers io_uring and it is wanted: once the answer takes it up, the kernel waits
// for them. Returns what to say about it.
std::string Session::Impl::PrepareRing(Bytes init) {
  if (options_.ring == RingUse::kNever) return "not asked for";
  fuse_init_in in{};
  std::memcpy(&in, init.data() + sizeof(fuse_in_header), std::min(sizeof in, init.size() - sizeof(fuse_in_header)));
  const bool offered = (in.flags & FUSE_INIT_EXT) != 0 && (in.flags2 & (ring_abi::kInitFlag >> 32)) != 0;
  if (!offered) return "the kernel does not offer it";
  auto places = RingPlace::CreateAll(fd_, kMaxWriteBytes);
  if (!places.ok()) return places.status().ToString();
  places_ = std::move(places).value();
  return std::to_string(places_.size()) + " places";
}

// False: the session has to end.
bool Session::Impl::ServePlace(RingPlace* place) {
  place->KeepToCpu();
  while (!ended()) {
    auto request = place->Next();
    if (request.code() == EINTR) continue;
    if (!request.ok()) return ended() || Survives(*place, request.status());
    fuse_buf buf{};
    buf.mem = (*request).data();
    buf.size = (*request).size();
    ServeRequest(*request, buf, place);
    place->AnswerIfOwed();
  }
  place->HandOver();
  return true;
}

// A place that the kernel did not take leaves its requests to the others and to /dev/fuse. One that it took owes
// answers that can no longer be given: their callers must not wait for ever.
bool Session::Impl::Survives(const RingPlace& place, const Status& lost) {
  if (lost.code() == ENOTCONN || lost.code() == ECONNABORTED) return false;  // the connection has ended
  Log(place.registered() ? LogLevel::kError : LogLevel::kWarn, "ring_place_lost",
      {{"error", lost.ToString()}, {"hint", "mount with --io-uring off"}});
  return !place.registered();
}

Transport Session::Impl::GetTransport() const {
  if (!agreed_) return {};
  Transport transport{!places_.empty(), transport_reason_, 0};
  for (const auto& place : places_) transport.ring_requests += place->served();
  return transport;
}

template <class Body>
void Session::Impl::AsServing(Body&& body) {
  ScheduleSoon();
  {
    MutexLock lock(mutex_);
    serving_.push_back(pthread_self());
  }
  body();
  MutexLock lock(mutex_);
  std::erase_if(serving_, [](pthread_t t) { return pthread_equal(t, pthread_self()) != 0; });
  left_.SignalAll();
}

void Session::Impl::ServeAll() {
  AsServing([&] {
    PageBuffer buffer;
    while (!ended() && ServeOne(&buffer)) {
    }
  });
}

Status Session::Impl::Agree() {
  PageBuffer buffer;
  while (!connection_.initialised) {
    if (!ServeOne(&buffer)) return Status::Error(EPROTO, "agreeing on the FUSE protocol with the kernel");
  }
  agreed_ = true;
  if (options_.ring == RingUse::kAlways && places_.empty()) {
    return Status::Error(EOPNOTSUPP, "FUSE over io_uring: " + transport_reason_);
  }
  return Status::Ok();
}

// Of those that read /dev/fuse fewer will do, since the calling thread is one; each place needs its own.
Status Session::Impl::StartThreads(std::vector<std::thread>* threads) {
  static constexpr const char* kHint = "raise the limit of threads (pids.max)";
  for (auto& place : places_) {
    Status started = StartThread("dkfs-ring", threads, [this, p = place.get()] {
      bool survives = true;
      AsServing([&] { survives = ServePlace(p); });
      if (!survives) Exit();
    });
    if (started.ok()) continue;
    Log(LogLevel::kError, "ring_thread_refused", {{"error", started.ToString()}, {"hint", kHint}});
    return started;
  }
  for (unsigned serving = 1; serving < options_.threads; ++serving) {
    Status started = StartThread("dkfs-fuse", threads, [this] { ServeAll(); });
    if (started.ok()) continue;
    Log(LogLevel::kWarn, "few_threads",
        {{"serving", serving}, {"wanted", options_.threads}, {"error", started.ToString()}, {"hint", kHint}});
    break;
  }
  return Status::Ok();
}

Status Session::Impl::Run(const std::function<void()>& on_ready) {
  DKFS_TRY(Agree());
  on_ready();
  std::vector<std::thread> threads;
  const Status started = StartThreads(&threads);
  if (started.ok()) ServeAll();
  Exit();  // wakes those who did not see the end themselves
  for (std::thread& thread : threads) thread.join();
  for (uint32_t n = connection_.owed.load(); n != 0; n = connection_.owed.load()) connection_.owed.wait(n);
  const Status closed = HangUp();
  return started.ok() ? closed : started;
}

// Closes the connection, so that whoever still uses the mount gets ENOTCONN now and not when the Session is destroyed.
// The number stays taken: it is libfuse's.
Status Session::Impl::HangUp() {
  for (auto& place : places_) place->Close();
  UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!nothing || ::dup3(nothing.get(), fd_, O_CLOEXEC) < 0) return Status::FromErrno("closing the FUSE connection");
  return Status::Ok();
}

// A thread may be about to read when the signal comes, so it is repeated until all have left. A serving thread that
// calls this has left first: two of them would wait for each other.
void Session::Impl::Exit() {
  fuse_session_exit(session_);
  MutexLock lock(mutex_);
  while (true) {
    bool others = false;
    for (pthread_t thread : serving_) {
      if (pthread_equal(thread, pthread_self())) continue;
      others = true;
      pthread_kill(thread, SIGRTMIN);
    }
    if (!others) return;
    left_.WaitFor(mutex_, std::chrono::milliseconds(20));
  }
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::Create(UniqueFd connection, FileSystem* file_system,
                                                 const SessionOptions& options) {
  auto impl = std::make_unique<Impl>(file_system, options);
  DKFS_TRY(impl->Open(std::move(connection)));
  return std::unique_ptr<Session>(new Session(std::move(impl)));
}

Status Session::Run(const std::function<void()>& on_ready) { return impl_->Run(on_ready); }
void Session::Exit() { impl_->Exit(); }
RequestSnapshot Session::Requests() const { return impl_->Requests(); }
Transport Session::GetTransport() const { return impl_->GetTransport(); }

}  // namespace dkfs
