#include "store/kv/convert.h"

#include <algorithm>

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
  std::string text = status.ToString();  // one line, for logs
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (text.ends_with(' ')) text.pop_back();
  return Status::Error(CodeOf(status), "index: " + std::string(doing) + ": " + text);
}

}  // namespace dkfs
