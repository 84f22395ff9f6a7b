// Taking back a record whose backing write failed: all rows it made go.
//
// Which rows those are is a function of its items, so the record is read again from its segment, found by its moment
// row. That works at once, while the tail is replayed, and when the voided record was flushed before a crash. If the
// segment is gone (packed in between) the index is searched for its Seq, slowly: it takes a minute-long write to come
// to that.
#include <fcntl.h>

#include <vector>

#include "store/base/file.h"
#include "store/codec/record_body.h"
#include "store/index/index.h"
#include "store/index/rows.h"

namespace dkfs {
namespace {

struct VoidedRecord {
  std::vector<std::byte> stored, expanded;
  std::vector<Item> items;  // their payloads point into one of these
  bool compressed = false;
};

Status ReadRecord(const std::string& journal_path, const MomentValue& moment, Seq seq, VoidedRecord* out) {
  const std::string path = journal_path + "/" + SegmentName(moment.segment, SegmentKind::kJournal);
  DKFS_TRY_ASSIGN(UniqueFd fd, file::OpenRegular(AT_FDCWD, path));
  std::vector<std::byte> head(kSegmentHeaderBytes);
  DKFS_TRY(file::ReadExactAt(fd.get(), head, 0, path));
  SegmentHeader segment;
  DKFS_TRY(DecodeSegmentHeader(head, &segment));
  DKFS_TRY(file::ReadExactAt(fd.get(), MutableBytes(head).first(kRecordHeaderBytes), moment.offset, path));
  RecordHeader record;
  DKFS_TRY(DecodeRecordHeader(Bytes(head).first(kRecordHeaderBytes), segment.salt, &record));
  if (record.seq != seq || record.stored_bytes > kMaxRecordBytes) return Status::Corruption(path + ": another record");
  out->stored.resize(record.stored_bytes);
  DKFS_TRY(file::ReadExactAt(fd.get(), out->stored, moment.offset + kRecordHeaderBytes, path));
  DKFS_TRY(CheckRecordBody(record, out->stored));
  DKFS_TRY_ASSIGN(const Bytes body, codec::RecordBody(record, out->stored, &out->expanded));
  out->compressed = record.compressed();
  return DecodeItems(body, &out->items);
}

// Where in a key of `family` its ~Seq stands, counted from the end; 0: such keys have none.
size_t SeqFromEnd(Family family) {
  switch (family) {
    case Family::kBlock:
    case Family::kInode:
    case Family::kName:
    case Family::kEntry:
    case Family::kLink:
    case Family::kXattr:
      return 8;
    case Family::kRange:
      return 12;
    default:
      return 0;
  }
}

}  // namespace

Status Index::Void(Seq seq, KvBatch* batch) {
  Result<std::string> row = kv_->Get(Family::kMoment, keys::Moment(seq));
  if (!row.ok()) return row.status().IsNotFound() ? Status::Ok() : row.status();  // never indexed, or long retired
  MomentValue value;
  DKFS_TRY(values::Decode(AsBytes(*row), &value));
  VoidedRecord record;
  if (journal_path_.empty() || !value.segment || !ReadRecord(journal_path_, value, seq, &record).ok()) {
    return VoidBySearch(seq, batch);
  }
  const Appended at{.seq = seq,
                    .segment = value.segment,
                    .offset = value.offset,
                    .time = value.time,
                    .compressed = record.compressed};
  std::string_view none;
  for (const Item& item : record.items) {
    EachRow(item, at, &none,
            [batch](Family family, std::string_view key, std::string_view) { batch->Delete(family, key); });
  }
  return Status::Ok();
}

// Versions that a voided record made as of another Seq are not found here: contents adopted late, which the same record
// cannot void (fs/ops voids a write, never an adoption).
Status Index::VoidBySearch(Seq seq, KvBatch* batch) {
  for (int i = 0; i < kFamilies; ++i) {
    const Family family = static_cast<Family>(i);
    const size_t from_end = SeqFromEnd(family);
    if (from_end == 0) continue;
    KvCursor cursor = kv_->NewCursor(family);
    for (cursor.SeekToFirst(); cursor.Valid(); cursor.Next()) {
      std::string_view key = cursor.key();
      if (key.size() > from_end && ~LoadBe<uint64_t>(key.end() - from_end) == seq.value) batch->Delete(family, key);
    }
    DKFS_TRY(cursor.status());
  }
  return Status::Ok();
}

}  // namespace dkfs
