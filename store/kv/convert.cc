#include "store/kv/convert.h"

namespace dkfs {
namespace {

int CodeOf(const rocksdb::Status& status) {
  if (status.IsCorruption() || status.IsPathNotFound()) return EUCLEAN;
  if (status.IsNoSpace()) return ENOSPC;
  if (status.IsNotSupported()) return ENOTSUP;
  if (status.IsInvalidArgument()) return EINVAL;
  return EIO;
}

}  // namespace

Status FromRocks(const rocksdb::Status& status, std::string_view doing) {
  if (status.ok()) return Status::Ok();
  if (status.IsNotFound()) return Status::Error(ENOENT);
  return Status::Error(CodeOf(status), "index: " + std::string(doing) + ": " + status.ToString());
}

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<uint8_t>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

}  // namespace dkfs
