#include "tests/protocol/fake_kernel.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

namespace dkfs {
namespace {

constexpr int kPatienceMs = 60'000;
constexpr int kBufferBytes = 4 << 20;

}  // namespace

FakeKernel::FakeKernel(FileSystem* file_system, const SessionOptions& options) {
  int ends[2];
  EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
  for (int end : ends) {
    ::setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &kBufferBytes, sizeof kBufferBytes);
    ::setsockopt(end, SOL_SOCKET, SO_RCVBUFFORCE, &kBufferBytes, sizeof kBufferBytes);
  }
  socket_.reset(ends[0]);
  auto session = Session::Create(UniqueFd(ends[1]), file_system, options);
  EXPECT_TRUE(session.ok()) << session.status().ToString();
  session_ = std::move(session).value();
  server_ = std::thread([this] { served_ = session_->Run([] {}); });
}

FakeKernel::~FakeKernel() {
  for (auto& [unique, opcode] : std::map(owed_)) Await(unique);
  while (Receive(0)) {
  }
  EXPECT_TRUE(owed_.empty()) << owed_.size() << " requests were never answered";
  EXPECT_EQ(0, unexpected_) << "answers to requests that were answered before, or never asked";
  HangUp();
}

void FakeKernel::HangUp() {
  if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);
  if (server_.joinable()) server_.join();
  socket_.reset();
}

void FakeKernel::SendBytes(const std::string& bytes) {
  ASSERT_EQ(static_cast<ssize_t>(bytes.size()), ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

uint64_t FakeKernel::Send(uint32_t opcode, uint64_t node, const std::string& body) {
  fuse_in_header header{};
  header.len = static_cast<uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.unique = NextUnique();
  header.nodeid = node;
  header.uid = uid_;
  header.gid = gid_;
  header.pid = 1;
  if (opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET) owed_[header.unique] = opcode;
  SendBytes(Raw(header) + body);
  return header.unique;
}

bool FakeKernel::Receive(int timeout_ms) {
  pollfd poll{socket_.get(), POLLIN, 0};
  if (::poll(&poll, 1, timeout_ms) <= 0) return false;
  std::string message(2 << 20, '\0');
  ssize_t n = ::recv(socket_.get(), message.data(), message.size(), 0);
  if (n < static_cast<ssize_t>(sizeof(fuse_out_header))) return false;
  message.resize(static_cast<size_t>(n));
  fuse_out_header header;
  std::memcpy(&header, message.data(), sizeof header);
  EXPECT_EQ(header.len, message.size());
  if (header.unique == 0) {
    ++notifications_;
    return true;
  }
  if (owed_.erase(header.unique) != 1) ++unexpected_;
  answers_[header.unique] = {-header.error, message.substr(sizeof header)};
  return true;
}

Answer FakeKernel::Await(uint64_t unique) {
  while (!answers_.contains(unique)) {
    if (!Receive(kPatienceMs)) {
      ADD_FAILURE() << "request " << unique << " is not answered";
      return {ETIMEDOUT, ""};
    }
  }
  return answers_[unique];
}

bool FakeKernel::IsAnswered(uint64_t unique) {
  while (Receive(0)) {
  }
  return answers_.contains(unique);
}

Answer FakeKernel::Call(uint32_t opcode, uint64_t node, const std::string& body) {
  return Await(Send(opcode, node, body));
}

fuse_init_out FakeKernel::Init(uint64_t flags, uint32_t minor) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = minor;
  in.max_readahead = 128 << 10;
  in.flags = static_cast<uint32_t>(flags) | FUSE_INIT_EXT;
  in.flags2 = static_cast<uint32_t>(flags >> 32);
  Answer answer = Call(FUSE_INIT, 0, Raw(in));
  EXPECT_EQ(0, answer.error);
  return answer.As<fuse_init_out>();
}

}  // namespace dkfs
