#include "store/retain/publish.h"

#include <fcntl.h>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/retain/meta.h"

namespace dkfs::retain {
namespace {

constexpr size_t kAtOnce = 1024;

// The row of a version, or not found.
Result<bool> ReadRow(Index* index, const keys::BlockKey& key, BlockEntry* entry) {
  Result<std::string> row = index->kv()->Get(Family::kBlock, keys::Block(key.file, key.layout, key.block, key.seq));
  if (row.status().IsNotFound()) return false;
  if (!row.ok()) return row.status();
  DKFS_TRY(values::Decode(AsBytes(*row), entry));
  return true;
}

}  // namespace

Status Publish::Enter() {
  DKFS_TRY(Fault::Pass("retain.publish"));
  DKFS_TRY(Announce());
  DKFS_TRY(RepointAll());
  for (const SegmentInfo& source : sources_->segments) {
    if (!sources_->damaged.contains(source.id)) DKFS_TRY(DropRest(source));
  }
  DKFS_TRY(DropRanges());
  DKFS_TRY(Conclude());
  DKFS_TRY(Fault::Pass("retain.flush"));
  return context_.index->Flush(context_.journal);
}

Status Publish::Announce() {
  KvBatch batch;
  batch.Put(Family::kMeta, meta::Key(meta::kPublishing, pass_->pack.value), {});
  batch.Put(Family::kSegment, keys::Segment(pass_->pack), values::Encode(pass_->value));
  pins_->Add(pass_->pack, pass_->moments, &batch);
  return context_.index->Write(&batch);
}

Status Publish::RepointAll() {
  DKFS_TRY_ASSIGN(Records records, Records::Open(context_.journal_path, pass_->pack, SegmentKind::kPack));
  const auto each = [&](const keys::BlockKey& key, const BlockEntry& to) { return PointHere(key, to); };
  for (;;) {
    Records::Record record;
    DKFS_TRY_ASSIGN(bool more, records.Next(&record));
    if (!more) return WriteRepoints();
    DKFS_TRY(EachVersion(record, records.header(), each));
  }
}

Status Publish::PointHere(const keys::BlockKey& key, const BlockEntry& to) {
  BlockEntry from;
  DKFS_TRY_ASSIGN(bool found, ReadRow(context_.index, key, &from));
  if (found && from.version.checksum == to.version.checksum) repoints_.push_back({key, from, to});
  return repoints_.size() >= kAtOnce ? WriteRepoints() : Status::Ok();
}

Status Publish::WriteRepoints() {
  if (repoints_.empty()) return Status::Ok();
  DKFS_TRY(Fault::Pass("retain.repoint"));
  DKFS_TRY(context_.index->ApplyRepoints(repoints_));
  repoints_.clear();
  return Status::Ok();
}

Status Publish::DropRest(const SegmentInfo& source) {
  DKFS_TRY_ASSIGN(Records records, Records::Open(context_.journal_path, source.id, source.kind));
  const auto each = [&](const keys::BlockKey& key, const BlockEntry&) { return DropIfIn(source.id, key); };
  for (;;) {
    Records::Record record;
    DKFS_TRY_ASSIGN(bool more, records.Next(&record));
    if (!more) return WriteDrops();
    NoteRanges(record.items);
    DKFS_TRY(EachVersion(record, records.header(), each));
  }
}

Status Publish::DropIfIn(SegmentId source, const keys::BlockKey& key) {
  BlockEntry entry;
  DKFS_TRY_ASSIGN(bool found, ReadRow(context_.index, key, &entry));
  if (!found || entry.location.segment != source) return Status::Ok();
  drops_.Delete(Family::kBlock, keys::Block(key.file, key.layout, key.block, key.seq));
  return drops_.count() >= kAtOnce ? WriteDrops() : Status::Ok();
}

Status Publish::WriteDrops() {
  if (drops_.count() == 0) return Status::Ok();
  DKFS_TRY(context_.index->Write(&drops_));
  drops_.Clear();
  return Status::Ok();
}

void Publish::NoteRanges(const std::vector<Item>& items) {
  for (const Item& item : items) {
    const auto* range = std::get_if<RangeItem>(&item.body);
    if (range != nullptr && item.as_of <= horizon_ && ranges_.size() < kMaxRanges)
      ranges_.emplace_back(*range, item.as_of);
  }
}

Status Publish::DropRanges() {
  Rule rule(context_.index, horizon_, pins_, [](const BlockEntry&) { return false; });
  for (const auto& [range, seq] : ranges_) {
    const Item item{seq, range, 0, {}};
    DKFS_TRY_ASSIGN(bool needed, rule.Needs(item));
    if (!needed) DKFS_TRY(rule.Drop(item, &drops_));
    if (drops_.count() >= kAtOnce) DKFS_TRY(WriteDrops());
  }
  ranges_.clear();
  return WriteDrops();
}

Status Publish::Conclude() {
  KvBatch batch;
  batch.Delete(Family::kMeta, meta::Key(meta::kPublishing, pass_->pack.value));
  for (const SegmentInfo& source : sources_->segments) {
    if (sources_->damaged.contains(source.id)) {
      batch.Put(Family::kMeta, meta::Key(meta::kDamaged, source.id.value), {});
      continue;
    }
    batch.Delete(Family::kSegment, keys::Segment(source.id));
    batch.Delete(Family::kMeta, meta::Key(meta::kPublishing, source.id.value));
    pins_->Remove(source.id, &batch);
  }
  return context_.index->Write(&batch);
}

Status Publish::DeleteSources(bool keep_files) {
  for (const SegmentInfo& source : sources_->segments) {
    if (sources_->damaged.contains(source.id)) continue;
    DKFS_TRY(Fault::Pass("retain.delete"));
    DKFS_TRY(DeleteSegment(context_, source.id, source.kind, keep_files));
  }
  return Status::Ok();
}

Status DeleteSegment(const Context& context, SegmentId id, SegmentKind kind, bool keep_file) {
  context.reader->Forget(id);
  Status gone;
  if (kind == SegmentKind::kJournal) {
    gone = context.journal->Delete(id, keep_file);
  } else {
    DKFS_TRY_ASSIGN(UniqueFd dir, file::Open(AT_FDCWD, context.journal_path, O_RDONLY | O_DIRECTORY));
    gone = file::Unlink(dir.get(), SegmentName(id, kind));
    if (gone.ok()) gone = file::SyncDir(dir.get(), ".");
  }
  return gone.IsNotFound() ? Status::Ok() : gone;
}

}  // namespace dkfs::retain
