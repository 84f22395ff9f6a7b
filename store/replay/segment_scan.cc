#include "store/replay/segment_scan.h"

#include <fcntl.h>

#include <algorithm>

#include "store/base/file.h"
#include "store/codec/codec.h"

namespace dkfs {
namespace {
constexpr size_t kWindowBytes = 1 << 20;
}

Result<std::vector<SegmentFile>> ListSegments(const std::string& journal_path) {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(AT_FDCWD, journal_path));
  std::vector<SegmentFile> found;
  for (const std::string& name : names) {
    SegmentFile segment;
    if (!ParseSegmentName(name, &segment.id, &segment.kind).ok()) continue;
    segment.path = journal_path + "/" + name;
    found.push_back(std::move(segment));
  }
  std::sort(found.begin(), found.end(), [](const SegmentFile& a, const SegmentFile& b) { return a.id < b.id; });
  return found;
}

Result<SegmentScan> SegmentScan::Open(const SegmentFile& segment, const Uuid& store) {
  SegmentScan scan;
  scan.path_ = segment.path;
  DKFS_TRY_ASSIGN(scan.fd_, file::Open(AT_FDCWD, segment.path, O_RDONLY));
  DKFS_TRY_ASSIGN(struct stat stat, file::StatFd(scan.fd_.get(), segment.path));
  scan.size_ = static_cast<uint64_t>(stat.st_size);
  DKFS_TRY_ASSIGN(Bytes raw, scan.At(0, kSegmentHeaderBytes));
  Status decoded = DecodeSegmentHeader(raw, &scan.header_);
  if (!decoded.ok()) return decoded.Prefix(segment.path);
  if (store != Uuid{} && scan.header_.store != store) return Status::Corruption(segment.path + ": of another store");
  if (scan.header_.id != segment.id || scan.header_.kind != segment.kind) {
    return Status::Corruption(segment.path + ": header and name differ");
  }
  return scan;
}

Result<Bytes> SegmentScan::At(uint64_t offset, size_t bytes) {
  if (offset > size_ || bytes > size_ - offset) return Status::Corruption("cut short");
  if (offset < window_at_ || offset + bytes > window_at_ + window_.size()) {
    window_.resize(std::min<uint64_t>(std::max(bytes, kWindowBytes), size_ - offset));
    window_at_ = offset;
    DKFS_TRY(file::ReadExactAt(fd_.get(), window_, offset, path_));
  }
  return Bytes(window_).subspan(offset - window_at_, bytes);
}

Status SegmentScan::Damage(const Status& status) const {
  return status.Prefix(path_ + " at " + std::to_string(offset_));
}

Result<bool> SegmentScan::Next(Record* out) {
  if (offset_ + kRecordHeaderBytes > size_) return false;
  Result<Bytes> raw = At(offset_, kRecordHeaderBytes);
  if (!raw.ok()) return Damage(raw.status());
  if (IsAllZero(*raw)) return false;
  Status decoded = DecodeRecordHeader(*raw, header_.salt, &out->header);
  if (!decoded.ok()) return Damage(decoded);
  Result<Bytes> stored = At(offset_ + kRecordHeaderBytes, out->header.stored_bytes);
  if (!stored.ok()) return Damage(stored.status());
  Status checked = CheckRecordBody(out->header, *stored);
  if (!checked.ok()) return Damage(checked);
  out->body = *stored;
  if (out->header.flags & kRecordCompressed) {
    if (out->header.body_bytes > kMaxRecordBytes) return Damage(Status::Corruption("record larger than allowed"));
    body_.resize(out->header.body_bytes);
    Status decompressed = codec::Decompress(*stored, body_);
    if (!decompressed.ok()) return Damage(decompressed);
    out->body = body_;
  }
  out->offset = offset_;
  offset_ += out->header.length;
  return true;
}

bool SegmentScan::SkipDamaged() {
  Result<Bytes> raw = At(offset_, kRecordHeaderBytes);
  RecordHeader header;
  if (!raw.ok() || !DecodeRecordHeader(*raw, header_.salt, &header).ok()) return false;
  if (header.length < kRecordHeaderBytes || header.length > size_ - offset_) return false;
  offset_ += header.length;
  return true;
}

}  // namespace dkfs
