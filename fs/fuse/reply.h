// Reply: the answer owed to one FUSE request. Exactly one answer is sent: each sending function ends the Reply, and a
// Reply that goes out of life unanswered answers EIO and says so in the log.
//
// Not for deciding anything. Move-only; may be carried to another thread and answered there.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <string_view>
#include <utility>

#include "fs/fuse/request_stats.h"
#include "fs/ops/file_system.h"

struct fuse_req;
struct fuse_file_info;

namespace dkfs {

// How long the kernel may keep names and attributes: for ever, because only this mount changes them.
inline constexpr double kForeverSeconds = 1e9;

// The errno an application sees for `status` (0 when ok). Damage (EUCLEAN) becomes EIO here and nowhere else.
int ErrnoOf(const Status& status);
struct stat StatOf(const Attr& attr);

class Reply {
 public:
  Reply(fuse_req* request, FuseOp op, RequestStats* stats);
  Reply(Reply&& other) noexcept;
  Reply& operator=(Reply&&) = delete;
  ~Reply();

  bool answered() const { return request_ == nullptr; }
  void Done(const Status& status);  // an empty answer: success or the errno
  void Error(const Status& status) { Done(status); }
  void None();  // requests that want no answer (FORGET)
  void Entry(const Attr& attr);
  void NegativeEntry();  // "no such name", which the kernel may remember
  void Attributes(const Attr& attr);
  void Created(const Attr& attr, const fuse_file_info& file);
  void Data(std::string_view bytes);
  void Link(const std::string& target);
  void Written(size_t bytes);
  void XattrSize(size_t bytes);
  void FileSystemStat(const struct statvfs& st);
  void Offset(uint64_t offset);

 private:
  fuse_req* Take(bool error);  // ends the Reply and counts the request
  fuse_req* request_;
  RequestStats* stats_;
  uint64_t started_ns_;
  FuseOp op_;
};

}  // namespace dkfs
