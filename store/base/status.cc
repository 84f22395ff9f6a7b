#include "store/base/status.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace dkfs {

Status Status::Error(int code) {
  DKFS_CHECK(code > 0);
  Status s;
  s.code_ = code;
  return s;
}

Status Status::Error(int code, std::string context) {
  Status s = Error(code);
  s.context_ = std::make_shared<const std::string>(std::move(context));
  return s;
}

Status Status::FromErrno(std::string_view context) {
  const int code = errno;
  return Error(code == 0 ? EIO : code, std::string(context));
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string text = context_ ? *context_ + ": " : std::string();
  char buffer[128];
  text += IsCorruption() ? "damaged" : strerror_r(code_, buffer, sizeof buffer);
  return text;
}

Status Status::Prefix(std::string_view context) const {
  if (ok()) return *this;
  std::string text(context);
  if (context_) text += ": " + *context_;
  return Error(code_, std::move(text));
}

void CheckFailed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "dkfs: internal check failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace dkfs
