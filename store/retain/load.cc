// What a crash may leave: temporary packs, packs the durable index knows nothing of, packs whose publication did not
// end, and sources of published packs.
#include <fcntl.h>

#include <map>

#include "store/base/file.h"
#include "store/base/log.h"
#include "store/retain/impl.h"
#include "store/retain/meta.h"
#include "store/retain/pack_writer.h"
#include "store/retain/publish.h"
#include "store/retain/records.h"

namespace dkfs {
namespace {

struct OnDisk {
  std::vector<std::string> temporary;
  std::map<SegmentId, SegmentInfo> segments;  // id and kind only
};

Result<OnDisk> List(const std::string& path) {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(AT_FDCWD, path));
  OnDisk found;
  const std::string ending = SegmentName(SegmentId{1}, SegmentKind::kPack).substr(16) + retain::kTemporarySuffix;
  for (const std::string& name : names) {
    SegmentInfo info;
    if (name.ends_with(ending)) found.temporary.push_back(name);
    if (ParseSegmentName(name, &info.id, &info.kind).ok()) found.segments[info.id] = info;
  }
  return found;
}

}  // namespace

Status Retainer::Impl::Load() {
  const Kv& kv = *context_.index->kv();
  {
    MutexLock lock(mutex_);
    DKFS_TRY(ages_.Load(kv));
  }
  Result<std::string> row = kv.Get(Family::kMeta, retain::meta::kHorizon);
  if (!row.ok() && !row.status().IsNotFound()) return row.status();
  if (row.ok() && row->size() != 8) return Status::Corruption("retention horizon row");
  if (row.ok()) horizon_ = Seq{LoadLe<uint64_t>(row->data())};
  DKFS_TRY(pins_.Load(kv));
  DKFS_TRY(packs_.Load());
  DKFS_TRY(CleanUp());
  PublishStats();
  Tick();
  return Status::Ok();
}

Status Retainer::Impl::CleanUp() {
  DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, context_.journal_path, O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(OnDisk disk, List(context_.journal_path));
  for (const std::string& name : disk.temporary) DKFS_TRY(file::RemoveTree(dir.get(), name));
  for (auto it = disk.segments.begin(); it != disk.segments.end();) {
    const SegmentInfo segment = it->second;
    if (segment.kind != SegmentKind::kPack || packs_.Contains(segment.id)) {
      ++it;
      continue;
    }
    Log(LogLevel::kInfo, "unfinished_pack_removed", {{"segment", segment.id.value}});
    DKFS_TRY(retain::DeleteSegment(context_, segment.id, segment.kind));
    it = disk.segments.erase(it);
  }
  for (const SegmentInfo& pack : packs_.List()) {
    if (disk.segments.contains(pack.id)) {
      DKFS_TRY(Redo(pack.id, disk.segments));
      continue;
    }
    Log(LogLevel::kError, "pack_missing",
        {{"segment", pack.id.value}, {"hint", "run dkfs-replay verify on the store"}});
    packs_.MarkDamaged(pack.id);
  }
  return Status::Ok();
}

// Ends what the pack's publication did not reach: all of it, or the deletion of the sources.
Status Retainer::Impl::Redo(SegmentId pack, const std::map<SegmentId, SegmentInfo>& on_disk) {
  Result<retain::Records> records = retain::Records::Open(context_.journal_path, pack, SegmentKind::kPack);
  if (!records.ok()) {
    if (!records.status().IsCorruption()) return records.status();
    Log(LogLevel::kError, "pack_damaged",
        {{"segment", pack.value},
         {"error", records.status().ToString()},
         {"hint", "run dkfs-replay verify on the store"}});
    packs_.MarkDamaged(pack);
    return Status::Ok();
  }
  Unfinished work;
  for (SegmentId source : records->header().sources) {
    if (auto found = on_disk.find(source); found != on_disk.end()) work.sources.segments.push_back(found->second);
  }
  Result<std::string> mark =
      context_.index->kv()->Get(Family::kMeta, retain::meta::Key(retain::meta::kPublishing, pack.value));
  if (!mark.ok() && !mark.status().IsNotFound()) return mark.status();
  if (!mark.ok() && work.sources.segments.empty()) return Status::Ok();
  work.pass.pack = pack;
  for (const SegmentInfo& info : packs_.List()) {
    if (info.id == pack) work.pass.value = {static_cast<uint32_t>(info.kind), info.first, info.last, info.bytes};
  }
  Log(LogLevel::kInfo, "pack_taken_up_again", {{"segment", pack.value}});
  if (mark.ok()) {
    unfinished_.emplace(std::move(work));
    return Finish();
  }
  return retain::Publish(context_, horizon_, &pins_, &work.sources, &work.pass).DeleteSources();
}

}  // namespace dkfs
