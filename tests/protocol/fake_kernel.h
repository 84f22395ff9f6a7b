// FakeKernel: the other end of a FUSE connection, over a SOCK_SEQPACKET pair. No mount, no root. It remembers every
// request it sent and checks that each that wants an answer gets exactly one.
#pragma once

#include <linux/fuse.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fs/fuse/session.h"

namespace dkfs {

struct Answer {
  int error = 0;  // positive errno
  std::string payload;
  template <class T>
  T As(size_t offset = 0) const {
    T value{};
    if (payload.size() >= offset + sizeof value) std::memcpy(&value, payload.data() + offset, sizeof value);
    return value;
  }
};

template <class T>
std::string Raw(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
inline std::string Name(const std::string& name) { return name + '\0'; }

class FakeKernel {
 public:
  FakeKernel(FileSystem* file_system, const SessionOptions& options);
  ~FakeKernel();  // hangs up; checks that nothing was answered twice or left unanswered

  fuse_init_out Init(uint64_t flags = ~uint64_t{0}, uint32_t minor = 45);
  // Sends and waits for the answer (a minute at most).
  Answer Call(uint32_t opcode, uint64_t node, const std::string& body);
  uint64_t Send(uint32_t opcode, uint64_t node, const std::string& body);  // returns the request's unique
  Answer Await(uint64_t unique);
  bool IsAnswered(uint64_t unique);  // without waiting
  void SendBytes(const std::string& bytes);
  void SetCaller(uint32_t uid, uint32_t gid) { uid_ = uid, gid_ = gid; }
  void ForgiveUnexpected() { unexpected_ = 0; }  // answers to what SendBytes sent
  uint64_t NextUnique() { return next_unique_ += 2; }
  void HangUp();  // Session::Run returns
  int notifications() const { return notifications_; }
  const Status& served() const { return served_; }  // what Session::Run returned, after HangUp
  Session* session() { return session_.get(); }

 private:
  bool Receive(int timeout_ms);
  UniqueFd socket_;
  std::unique_ptr<Session> session_;
  Status served_;
  std::thread server_;
  uint64_t next_unique_ = 0;
  uint32_t uid_ = 0, gid_ = 0;
  std::map<uint64_t, uint32_t> owed_;  // unique -> opcode
  std::map<uint64_t, Answer> answers_;
  int unexpected_ = 0, notifications_ = 0;
};

}  // namespace dkfs
