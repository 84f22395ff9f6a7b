#include "store/replay/segment_reader.h"

#include <fcntl.h>

#include <algorithm>
#include <list>
#include <map>

#include "store/base/file.h"
#include "store/base/mutex.h"
#include "store/base/unique_fd.h"
#include "store/codec/record_body.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {
namespace {

constexpr size_t kMaxOpenSegments = 64;
constexpr size_t kMostExpected = 1 << 20;   // of one payload
constexpr uint64_t kNear = 8 << 10;         // read along costs less than asking twice
constexpr size_t kExpectedFrame = 4 << 10;  // most records are shorter; of longer ones the beginning
constexpr size_t kMaxHeaders = 4096;        // of frames of 256 KiB: 1 GiB

// A least-recently-used map; `Weight` of all entries together stays at or under the limit (but for a single entry).
template <class Key, class Value>
class Lru {
 public:
  explicit Lru(uint64_t limit) : limit_(limit) {}

  Value Find(const Key& key) {
    auto it = places_.find(key);
    if (it == places_.end()) return {};
    order_.splice(order_.begin(), order_, it->second);
    return it->second->value;
  }
  void Insert(const Key& key, Value value, uint64_t weight) {
    Erase(key);
    order_.push_front({key, std::move(value), weight});
    places_[key] = order_.begin();
    used_ += weight;
    while (used_ > limit_ && order_.size() > 1) Erase(Key(order_.back().key));
  }
  template <class Predicate>
  void EraseIf(const Predicate& predicate) {
    for (auto it = order_.begin(); it != order_.end();) {
      auto next = std::next(it);
      if (predicate(it->key)) Erase(Key(it->key));
      it = next;
    }
  }

 private:
  struct Node {
    Key key;
    Value value;
    uint64_t weight;
  };
  void Erase(const Key& key) {
    auto it = places_.find(key);
    if (it == places_.end()) return;
    used_ -= it->second->weight;
    order_.erase(it->second);
    places_.erase(it);
  }

  const uint64_t limit_;
  uint64_t used_ = 0;
  std::list<Node> order_;
  std::map<Key, typename std::list<Node>::iterator> places_;
};

struct OpenSegment {
  UniqueFd fd;
  std::string path;
  uint64_t salt = 0;
};
using SegmentRef = std::shared_ptr<const OpenSegment>;

// Allocated uncleared: it is filled at once.
struct FrameBytes {
  explicit FrameBytes(size_t bytes) : data(std::make_unique_for_overwrite<std::byte[]>(bytes)), size(bytes) {}
  MutableBytes bytes() const { return {data.get(), size}; }
  std::unique_ptr<std::byte[]> data;
  size_t size;
};
using Frame = std::shared_ptr<const FrameBytes>;

Status ReadHeader(const OpenSegment& segment, uint32_t frame, RecordHeader* header) {
  std::array<std::byte, kRecordHeaderBytes> raw;
  DKFS_TRY(file::ReadExactAt(segment.fd.get(), raw, frame, segment.path));
  return DecodeRecordHeader(raw, segment.salt, header);
}

Result<Frame> ReadFrame(const OpenSegment& segment, uint32_t frame, const RecordHeader& header) {
  auto stored = std::make_shared<const FrameBytes>(header.stored_bytes);
  DKFS_TRY(file::ReadExactAt(segment.fd.get(), stored->bytes(), uint64_t{frame} + kRecordHeaderBytes, segment.path));
  DKFS_TRY(CheckRecordBody(header, stored->bytes()));
  if (!header.compressed()) return stored;
  auto body = std::make_shared<const FrameBytes>(header.body_bytes);
  DKFS_TRY(codec::ExpandBody(header, stored->bytes(), body->bytes()));
  return body;
}

}  // namespace

class SegmentReader::Impl {
 public:
  Impl(std::string journal_path, uint64_t cache_bytes)
      : path_(std::move(journal_path)), segments_(kMaxOpenSegments), headers_(kMaxHeaders), frames_(cache_bytes) {}

  Status Read(const Location& where, MutableBytes out) EXCLUDES(mutex_) {
    if (where.frame == 0) return ReadPlain(where, where.offset, out);
    DKFS_TRY_ASSIGN(Frame frame, LoadFrame(where));
    DKFS_TRY(CheckInside(where, out.size(), frame->size));
    if (!out.empty()) std::memcpy(out.data(), frame->data.get() + where.offset, out.size());
    return Status::Ok();
  }

  Status ReadToVerify(const Location& where, MutableBytes out) EXCLUDES(mutex_) {
    if (where.frame == 0) return ReadPlain(where, where.offset, out);
    DKFS_TRY_ASSIGN(const RecordHeader header, LoadHeader(where));
    if (header.compressed()) return Read(where, out);
    DKFS_TRY(CheckInside(where, out.size(), header.body_bytes));
    return ReadPlain(where, uint64_t{where.frame} + kRecordHeaderBytes + where.offset, out);
  }

  Status Share(const Location& where, size_t bytes, Shared* out) EXCLUDES(mutex_) {
    *out = {};
    if (where.frame == 0) return Status::Ok();
    DKFS_TRY_ASSIGN(const RecordHeader header, LoadHeader(where));
    if (!header.compressed()) return Status::Ok();
    DKFS_TRY_ASSIGN(Frame frame, LoadFrame(where));
    DKFS_TRY(CheckInside(where, bytes, frame->size));
    out->bytes = Bytes(frame->bytes()).subspan(where.offset, bytes);
    out->owner = std::move(frame);
    return Status::Ok();
  }

  // What is near enough goes together.
  void Expect(std::vector<Payload> payloads) EXCLUDES(mutex_) {
    const auto begin = [](const Payload& p) { return uint64_t{p.where.frame == 0 ? p.where.offset : p.where.frame}; };
    const auto end = [&](const Payload& p) {
      return begin(p) + (p.where.frame == 0 ? std::min(p.bytes, kMostExpected) : kExpectedFrame);
    };
    std::sort(payloads.begin(), payloads.end(), [&](const Payload& a, const Payload& b) {
      return std::pair(a.where.segment, begin(a)) < std::pair(b.where.segment, begin(b));
    });
    for (auto next = payloads.begin(); next != payloads.end();) {
      const SegmentId id = next->where.segment;
      const uint64_t from = begin(*next);
      uint64_t to = end(*next);
      for (++next; next != payloads.end() && next->where.segment == id && begin(*next) <= to + kNear; ++next) {
        to = std::max(to, end(*next));
      }
      Result<SegmentRef> segment = Segment(id);
      if (!segment.ok()) continue;
      ::posix_fadvise((*segment)->fd.get(), static_cast<off_t>(from), static_cast<off_t>(to - from),
                      POSIX_FADV_WILLNEED);
    }
  }

  void Forget(SegmentId id) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    segments_.EraseIf([&](SegmentId key) { return key == id; });
    frames_.EraseIf([&](const FrameKey& key) { return key.first == id; });
    headers_.EraseIf([&](const FrameKey& key) { return key.first == id; });
  }

 private:
  using FrameKey = std::pair<SegmentId, uint32_t>;

  std::string SegmentPath(SegmentId id) const { return path_ + "/" + SegmentName(id, SegmentKind::kJournal); }

  Status CheckInside(const Location& where, size_t bytes, size_t frame_bytes) const {
    if (where.offset <= frame_bytes && bytes <= frame_bytes - where.offset) return Status::Ok();
    return Status::Corruption(SegmentPath(where.segment) + ": payload beyond its frame at " +
                              std::to_string(where.frame));
  }

  Status ReadPlain(const Location& where, uint64_t offset, MutableBytes out) EXCLUDES(mutex_) {
    DKFS_TRY_ASSIGN(SegmentRef segment, Segment(where.segment));
    return file::ReadExactAt(segment->fd.get(), out, offset, segment->path);
  }

  Result<SegmentRef> Segment(SegmentId id) EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (SegmentRef found = segments_.Find(id)) return found;
    }
    DKFS_TRY_ASSIGN(SegmentRef opened, OpenFile(id));
    MutexLock lock(mutex_);
    segments_.Insert(id, opened, 1);
    return opened;
  }

  Result<SegmentRef> OpenFile(SegmentId id) const {
    auto segment = std::make_shared<OpenSegment>();
    for (SegmentKind kind : {SegmentKind::kJournal, SegmentKind::kPack}) {
      segment->path = path_ + "/" + SegmentName(id, kind);
      Result<UniqueFd> fd = file::OpenRegular(AT_FDCWD, segment->path);
      if (fd.ok()) {
        segment->fd = std::move(fd).value();
        DKFS_TRY_ASSIGN(segment->salt, ReadSalt(*segment));
        return SegmentRef(std::move(segment));
      }
      if (!fd.status().IsNotFound()) return fd.status();
    }
    return Status::Corruption(SegmentPath(id) + ": segment is missing");
  }

  static Result<uint64_t> ReadSalt(const OpenSegment& segment) {
    std::vector<std::byte> bytes(kSegmentHeaderBytes);
    DKFS_TRY(file::ReadExactAt(segment.fd.get(), bytes, 0, segment.path));
    SegmentHeader header;
    Status status = DecodeSegmentHeader(bytes, &header);
    if (!status.ok()) return status.Prefix(segment.path);
    return header.salt;
  }

  Result<RecordHeader> LoadHeader(const Location& where) EXCLUDES(mutex_) {
    const FrameKey key{where.segment, where.frame};
    {
      MutexLock lock(mutex_);
      if (const RecordHeader found = headers_.Find(key); found.length > 0) return found;
    }
    DKFS_TRY_ASSIGN(SegmentRef segment, Segment(where.segment));
    RecordHeader header;
    Status status = ReadHeader(*segment, where.frame, &header);
    if (!status.ok()) return status.Prefix(segment->path + " at " + std::to_string(where.frame));
    MutexLock lock(mutex_);
    headers_.Insert(key, header, 1);
    return header;
  }

  Result<Frame> LoadFrame(const Location& where) EXCLUDES(mutex_) {
    const FrameKey key{where.segment, where.frame};
    {
      MutexLock lock(mutex_);
      if (Frame found = frames_.Find(key)) return found;
    }
    DKFS_TRY_ASSIGN(const RecordHeader header, LoadHeader(where));
    DKFS_TRY_ASSIGN(SegmentRef segment, Segment(where.segment));
    Result<Frame> frame = ReadFrame(*segment, where.frame, header);
    if (!frame.ok()) return frame.status().Prefix(segment->path + " at " + std::to_string(where.frame));
    MutexLock lock(mutex_);
    frames_.Insert(key, *frame, (*frame)->size);
    return frame;
  }

  const std::string path_;
  Mutex mutex_;
  Lru<SegmentId, SegmentRef> segments_ GUARDED_BY(mutex_);
  Lru<FrameKey, RecordHeader> headers_ GUARDED_BY(mutex_);
  Lru<FrameKey, Frame> frames_ GUARDED_BY(mutex_);
};

SegmentReader::SegmentReader(std::string journal_path, uint64_t cache_bytes)
    : impl_(std::make_unique<Impl>(std::move(journal_path), cache_bytes)) {}
SegmentReader::~SegmentReader() = default;
Status SegmentReader::Read(const Location& where, MutableBytes out) { return impl_->Read(where, out); }
Status SegmentReader::ReadToVerify(const Location& where, MutableBytes out) { return impl_->ReadToVerify(where, out); }
Status SegmentReader::Share(const Location& where, size_t bytes, Shared* out) {
  return impl_->Share(where, bytes, out);
}
void SegmentReader::Expect(std::vector<Payload> payloads) { impl_->Expect(std::move(payloads)); }
void SegmentReader::Forget(SegmentId id) { impl_->Forget(id); }

}  // namespace dkfs
