// The control socket's protocol: STORE/control.sock, one JSON object a line. A request has "command"; a reply has "ok",
// and on failure "error" (a sentence) and "code" (an errno).
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs {

inline constexpr const char* kControlSocketName = "control.sock";
inline constexpr size_t kMaxControlLine = 1 << 20;

Result<UniqueFd> ListenIn(const std::string& dir);  // mode 0600; a leftover of a dead daemon is replaced
// ECONNREFUSED or ENOENT: no daemon there. `patience` as below, for the connection too.
Result<UniqueFd> ConnectIn(const std::string& dir, std::chrono::milliseconds patience = {});
// How long one wait for the other side may take, before ETIMEDOUT; 0: for ever.
Status SetPatience(int fd, std::chrono::milliseconds patience);

Status WriteLine(int fd, const nlohmann::json& object);
// Reads lines off a socket.
class LineReader {
 public:
  explicit LineReader(int fd) : fd_(fd) {}
  // nullopt at the end. EPROTO for what is not a JSON object or too long.
  Result<std::optional<nlohmann::json>> Next();

 private:
  int fd_;
  std::string buffer_;
};

}  // namespace dkfs
