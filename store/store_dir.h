// StoreDir: the directory of a store: FORMAT, LOCK and the clean mark. Not the data in it.
//
//   FORMAT  text: "dkfs store", then "version N", "uuid U", "created TIME"; written once, durably, before anything else
//   LOCK    flock: exclusive for a writer, shared for readers; its text names the last writer, for messages only
//   clean   text: "seq N", "identity I": DIR with this identity is complete as of that Seq
//   hot     text, of advice alone: store/format/hot_extents.h
// Unknown lines in FORMAT and clean are passed over. Not thread-safe.
#pragma once

#include <optional>
#include <string>

#include "store/base/clock.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"
#include "store/format/ids.h"
#include "store/format/segment.h"

namespace dkfs {

class StoreDir {
 public:
  enum class Access { kWrite, kRead };
  // Takes the lock for as long as the object lives. `create` makes a store of a missing or empty directory.
  // ENOENT no such directory; EBADMSG not a store; ENOTSUP newer format; EUCLEAN damaged FORMAT; EBUSY in use.
  static Result<StoreDir> Open(const std::string& path, Access access, bool create, TimeSpec now);

  const std::string& path() const { return path_; }
  const Uuid& uuid() const { return uuid_; }
  int fd() const { return dir_.get(); }

  struct CleanMark {
    Seq seq;
    std::string identity;
  };
  std::optional<CleanMark> ReadCleanMark() const;  // none when missing or not understood: then everything is checked
  Status WriteCleanMark(const CleanMark& mark);    // durable on return; EINVAL for an identity of several lines
  Status RemoveCleanMark();                        // durable on return

  Result<std::string> ReadHot() const;       // ENOENT: there is none
  Status WriteHot(const std::string& text);  // durable on return

 private:
  Status Lock(Access access);
  Status LoadFormat();
  Status Create(TimeSpec now);
  Result<bool> LooksEmpty() const;

  std::string path_;
  UniqueFd dir_;
  UniqueFd lock_;
  Uuid uuid_{};
};

}  // namespace dkfs
