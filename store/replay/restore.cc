#include "store/replay/restore.h"

#include <stdlib.h>

#include <thread>

#include "store/replay/restore_walk.h"
#include "store/replay/restore_writer.h"

namespace dkfs {
namespace {

std::string RealPath(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string result(real);
  free(real);
  return result;
}

Status RefuseInsideStore(const Store& store, const std::string& out) {
  const std::string inside = RealPath(store.path()) + "/";
  const size_t slash = out.find_last_not_of('/');
  const std::string trimmed = out.substr(0, slash + 1);
  const size_t cut = trimmed.rfind('/');
  const std::string parent = cut == std::string::npos ? "." : trimmed.substr(0, cut + 1);
  for (const std::string& place : {RealPath(parent) + "/", RealPath(trimmed) + "/"}) {
    if (place.starts_with(inside)) return Status::Error(EINVAL, out + " lies in the store");
  }
  return Status::Ok();
}

// The first error that ends the restore. Returns when the queue is finished or was abandoned.
Status WriteAll(RestoreQueue* queue, RestoreWriter* writer) {
  for (std::deque<RestoreStep> steps = queue->TakeAll(); !steps.empty(); steps = queue->TakeAll()) {
    for (; !steps.empty(); steps.pop_front()) {
      if (Status done = writer->Do(steps.front()); !done.ok()) {
        queue->Abandon();
        return done;
      }
    }
  }
  return Status::Ok();
}

}  // namespace

Status RestoreTree(Store& store, Seq at, const std::string& out, const RestoreOptions& options, RestoreResult* result) {
  *result = {};
  RestoreQueue queue;
  RestoreWalk walk(store, at, &queue);
  DKFS_TRY(walk.Want(options.paths));
  Result<InodeState> root = store.GetInode(kRootFile, at);
  if (!root.ok()) return root.status().Prefix("no tree as of seq " + std::to_string(at.value));
  DKFS_TRY(RefuseInsideStore(store, out));
  RestoreWriter writer(at, options, result);
  DKFS_TRY(writer.Open(out));

  std::thread reading([&walk] { walk.Run(); });
  Status status = WriteAll(&queue, &writer);
  reading.join();
  if (!status.ok()) return status;
  Result<RestoreSink::Xattrs> xattrs = store.ListXattrs(kRootFile, at);
  if (!xattrs.ok()) return xattrs.status().Prefix("extended attributes");
  DKFS_TRY(writer.DressRoot(*root, *xattrs));
  return writer.first_problem();
}

}  // namespace dkfs
