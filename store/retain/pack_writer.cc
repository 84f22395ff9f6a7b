#include "store/retain/pack_writer.h"

#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/format/item_wire.h"

namespace dkfs::retain {
namespace {

constexpr size_t kFrameBytes = 256 << 10;  // target; one item may make a frame larger, up to kMaxRecordBytes
constexpr size_t kLongFrameBytes = 7 << 20;
constexpr size_t kMaxContents = 256 << 10;  // entries of the table of contents, about 64 bytes each
constexpr uint32_t kMinContentBytes = 64;   // smaller payloads are not worth a reference
constexpr uint64_t kMaxPackBytes = (uint64_t{4} << 30) - (64 << 20);  // Location counts frames in 32 bits

Result<uint64_t> RandomNumber() {
  uint64_t value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value) return Status::FromErrno("getrandom");
  return value;
}

}  // namespace

Result<std::unique_ptr<PackWriter>> PackWriter::Create(const Context& context, SegmentId id) {
  std::unique_ptr<PackWriter> writer(new PackWriter(context, id));
  DKFS_TRY(writer->Begin());
  return writer;
}

Status PackWriter::Begin() {
  name_ = SegmentName(id_, SegmentKind::kPack);
  temporary_ = name_ + kTemporarySuffix;
  DKFS_TRY_ASSIGN(dir_, file::Open(AT_FDCWD, context_.journal_path, O_RDONLY | O_DIRECTORY));
  DKFS_TRY_ASSIGN(fd_, file::Open(dir_.get(), temporary_, O_RDWR | O_CREAT | O_TRUNC));
  header_.kind = SegmentKind::kPack;
  header_.store = context_.store;
  header_.id = id_;
  header_.epoch = context_.journal->epoch();
  DKFS_TRY_ASSIGN(header_.salt, RandomNumber());
  DKFS_TRY_ASSIGN(seed_, RandomNumber());
  return Status::Ok();
}

PackWriter::~PackWriter() {
  if (published_ || !fd_) return;
  file::Unlink(dir_.get(), temporary_).Ignore("Load removes temporary names");
}

void PackWriter::NoteSeq(Seq seq) {
  first_ = std::min(first_, seq);
  last_ = std::max(last_, seq);
  frame_last_ = std::max(frame_last_, seq);
}

Status PackWriter::MakeRoom(size_t bytes) {
  const size_t most = packing_.long_frames ? kLongFrameBytes : kFrameBytes;
  if (!body_.empty() && body_.size() + bytes > most) return FlushFrame();
  return Status::Ok();
}

Status PackWriter::Add(const Item& item) {
  DKFS_TRY(CloseItem());
  std::string encoded;
  EncodeItem(item, &encoded);
  DKFS_TRY(MakeRoom(encoded.size()));
  body_ += encoded;
  ++items_;
  if (item.as_of) NoteSeq(item.as_of);
  return Status::Ok();
}

bool PackWriter::Joins(const keys::BlockKey& key, uint8_t shift) const {
  return !open_.versions.empty() && open_seq_ == key.seq && open_.file == key.file && open_.layout == key.layout &&
         open_.block_shift == shift && open_.first + open_.versions.size() == key.block;
}

Status PackWriter::AddVersion(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version, Bytes payload) {
  const size_t versions = (open_.versions.size() + 1) * wire::kBlockVersionBytes;  // those of zeros have no payload
  if (!Joins(key, shift) || versions + payload_.size() + payload.size() > kFrameBytes) {
    DKFS_TRY(CloseItem());
    open_ = BlocksItem{key.file, key.layout, shift, key.block, {}};
    open_seq_ = key.seq;
  }
  open_.versions.push_back(version);
  open_.versions.back().stored_bytes = static_cast<uint32_t>(payload.size());
  payload_ += AsString(payload);
  return Status::Ok();
}

Status PackWriter::AddBlock(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version, Bytes payload) {
  if (version.kind == BlockKind::kUnit) {
    DKFS_TRY(CloseItem());
    DKFS_TRY(AddVersion(key, shift, version, payload));
    Content content{
        0, static_cast<uint32_t>(payload.size()), {0, 0, static_cast<uint32_t>(payload.size()), version.kind}};
    open_contents_.emplace_back(0, content);
    return CloseItem();
  }
  if (version.kind != BlockKind::kBaseline || payload.size() < kMinContentBytes) {
    return AddVersion(key, shift, version, payload);
  }
  const uint64_t check = Hash64(payload, seed_);
  const auto same = contents_.find(version.checksum);
  if (same != contents_.end() && same->second.check == check && same->second.bytes == payload.size()) {
    return AddReference(key, shift, version, same->second.place);
  }
  DKFS_TRY(AddVersion(key, shift, version, payload));
  const auto bytes = static_cast<uint32_t>(payload.size());
  const auto at = static_cast<uint32_t>(payload_.size() - payload.size());
  open_contents_.emplace_back(version.checksum, Content{check, bytes, {0, at, bytes, BlockKind::kBaseline}});
  return Status::Ok();
}

Status PackWriter::AddReference(const keys::BlockKey& key, uint8_t shift, const BlockVersion& version,
                                const Reference& place) {
  std::string reference;
  EncodeReference(place, &reference);
  BlockVersion referring = version;
  referring.kind = BlockKind::kReference;
  return AddVersion(key, shift, referring, AsBytes(reference));
}

Status PackWriter::CloseItem() {
  if (open_.versions.empty()) return Status::Ok();
  std::string front;
  EncodeBlocksHeader(open_seq_, open_, static_cast<uint32_t>(payload_.size()), &front);
  DKFS_TRY(MakeRoom(front.size() + payload_.size()));
  const auto start = static_cast<uint32_t>(body_.size() + front.size());
  for (auto& [checksum, content] : open_contents_) {
    content.place.frame = static_cast<uint32_t>(file_bytes_);
    content.place.offset += start;
    if (content.place.kind == BlockKind::kUnit) {
      unit_ = content.place;
    } else if (contents_.size() < kMaxContents) {
      contents_.emplace(checksum, content);
    }
  }
  body_ += front;
  body_ += payload_;
  body_.append(ItemPadding(payload_.size()), '\0');
  ++items_;
  NoteSeq(open_seq_);
  open_.versions.clear();
  open_contents_.clear();
  payload_.clear();
  return Status::Ok();
}

Status PackWriter::SetPacking(Packing packing) {
  if (packing == packing_) return Status::Ok();
  DKFS_TRY(CloseItem());
  DKFS_TRY(FlushFrame());
  packing_ = packing;
  return Status::Ok();
}

Status PackWriter::FlushFrame() {
  if (body_.empty()) return Status::Ok();
  DKFS_TRY(Fault::Pass("retain.pack"));
  if (file_bytes_ + body_.size() > kMaxPackBytes) return Status::Error(EFBIG, name_ + ": pack would be too long");
  std::string stored;
  const int level = packing_.level;
  if (level > 0) {
    DKFS_TRY(packing_.long_frames ? codec::CompressLong(AsBytes(body_), level, &stored)
                                  : codec::Compress(AsBytes(body_), level, &stored));
  }
  RecordHeader header;
  const bool smaller = level > 0 && stored.size() < body_.size();
  if (!smaller) stored = body_;
  header.flags = smaller ? kRecordZstd : 0;
  header.stored_bytes = static_cast<uint32_t>(stored.size());
  header.body_bytes = static_cast<uint32_t>(body_.size());
  header.length = static_cast<uint32_t>(RoundUp(kRecordHeaderBytes + stored.size(), 8));
  header.item_count = items_;
  header.body_checksum = Hash64(AsBytes(stored));
  header.seq = std::max(frame_last_, Seq{1});
  header.time = context_.clock.wall();
  const auto front = EncodeRecordHeader(header, header_.salt);
  stored.resize(header.length - kRecordHeaderBytes, '\0');
  DKFS_TRY(file::WriteAt(fd_.get(), front, file_bytes_, temporary_));
  DKFS_TRY(file::WriteAt(fd_.get(), AsBytes(stored), file_bytes_ + kRecordHeaderBytes, temporary_));
  file_bytes_ += header.length;
  body_.clear();
  items_ = 0;
  frame_last_ = Seq{};
  return Status::Ok();
}

SegmentValue PackWriter::value() const {
  return {static_cast<uint32_t>(SegmentKind::kPack), first_ == kLatest ? Seq{} : first_, last_, file_bytes_};
}

Status PackWriter::Publish(const std::vector<SegmentId>& sources) {
  DKFS_TRY(CloseItem());
  DKFS_TRY(FlushFrame());
  header_.first_seq = value().first;
  header_.sources = sources;
  header_.max_file = context_.index->max_file();
  header_.max_entry = context_.index->max_entry();
  header_.bytes = file_bytes_;
  DKFS_TRY(file::WriteAt(fd_.get(), EncodeSegmentHeader(header_), 0, temporary_));
  DKFS_TRY(file::Sync(fd_.get(), temporary_));
  DKFS_TRY(Fault::Pass("retain.pack"));
  DKFS_TRY(file::Rename(dir_.get(), temporary_, name_));
  published_ = true;
  return file::SyncDir(dir_.get(), ".");
}

}  // namespace dkfs::retain
