#include "store/journal/segment_scan.h"

#include <fcntl.h>

#include <algorithm>

#include "store/base/file.h"

namespace dkfs {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

Result<SegmentScan> SegmentScan::Open(int dirfd, const std::string& name) {
  SegmentId id;
  SegmentKind kind;
  DKFS_TRY(ParseSegmentName(name, &id, &kind));
  SegmentScan scan;
  scan.name_ = name;
  DKFS_TRY_ASSIGN(scan.fd_, file::OpenRegular(dirfd, name));
  DKFS_TRY_ASSIGN(const struct stat st, file::StatFd(scan.fd_.get(), name));
  scan.size_ = static_cast<uint64_t>(st.st_size);
  std::vector<std::byte> head(kSegmentHeaderBytes);
  DKFS_TRY(file::ReadExactAt(scan.fd_.get(), head, 0, name));
  if (Status s = DecodeSegmentHeader(head, &scan.header_); !s.ok()) return s.Prefix(name + " at offset 0");
  if (scan.header_.id != id || scan.header_.kind != kind) {
    return Status::Corruption(name + " at offset 0: the header is another segment's");
  }
  return scan;
}

Result<Bytes> SegmentScan::Load(uint64_t offset, size_t bytes) {
  if (offset >= size_) return Bytes{};
  bytes = static_cast<size_t>(std::min<uint64_t>(bytes, size_ - offset));
  if (offset < buffer_begin_ || offset + bytes > buffer_begin_ + buffer_bytes_) {
    const size_t want = bodies_ ? std::max(bytes, kReadBytes) : bytes;
    if (buffer_.size() < want) buffer_.resize(want);
    buffer_begin_ = offset;
    buffer_bytes_ = 0;
    DKFS_TRY_ASSIGN(buffer_bytes_, file::ReadAt(fd_.get(), MutableBytes(buffer_).first(want), offset, name_));
    bytes = std::min(bytes, buffer_bytes_);
  }
  return Bytes(buffer_).subspan(offset - buffer_begin_, bytes);
}

SegmentScan::Place SegmentScan::Damaged(std::string_view what) {
  damage_ = name_ + " at offset " + std::to_string(offset_) + ": " + std::string(what);
  return Place::kDamage;
}

SegmentScan::Place SegmentScan::End() {
  if (offset_ > size_) return Damaged("behind the end of the file");
  const uint64_t whole = header_.bytes != 0 ? header_.bytes : size_;
  if (header_.kind != SegmentKind::kPack || offset_ >= whole || short_pack_told_) return Place::kEnd;
  short_pack_told_ = true;
  return Damaged(offset_ < size_ ? "zeros stand where a record was" : "the pack is cut short");
}

Result<SegmentScan::Place> SegmentScan::Next(Record* record) {
  record->header = {};
  DKFS_TRY_ASSIGN(const Bytes head, Load(offset_, kRecordHeaderBytes));
  if (head.empty() || IsAllZero(head)) return End();
  if (head.size() < kRecordHeaderBytes) return Damaged("the file ends inside a record header");
  if (Status s = DecodeRecordHeader(head, header_.salt, &record->header); !s.ok()) {
    if (s.IsCorruption()) return Damaged(s.context());
    return s.Prefix(name_ + " at offset " + std::to_string(offset_));
  }
  const uint64_t length = record->header.length;
  if (length > size_ - offset_) return Damaged("the file ends inside a record");
  record->offset = offset_;
  record->body = {};
  if (bodies_) {
    DKFS_TRY_ASSIGN(const Bytes whole, Load(offset_, length));
    if (whole.size() < length) return Damaged("the file ends inside a record");
    record->body = whole.subspan(kRecordHeaderBytes, record->header.stored_bytes);
    if (Status s = CheckRecordBody(record->header, record->body); !s.ok()) return Damaged(s.context());
  }
  offset_ += length;
  return Place::kRecord;
}

Result<bool> SegmentScan::FindNext() {
  RecordHeader header;
  bodies_ = true;  // read ahead
  for (uint64_t at = RoundDown(offset_, 8) + 8; at + kRecordHeaderBytes <= size_;) {
    DKFS_TRY_ASSIGN(const Bytes data, Load(at, kReadBytes));
    size_t i = 0;
    for (; i + kRecordHeaderBytes <= data.size(); i += 8) {
      if (LoadLe<uint32_t>(data.data() + i) != kRecordMagic) continue;
      if (!DecodeRecordHeader(data.subspan(i, kRecordHeaderBytes), header_.salt, &header).ok()) continue;
      offset_ = at + i;
      return true;
    }
    if (i == 0) break;
    at += i;
  }
  return false;
}

}  // namespace dkfs
