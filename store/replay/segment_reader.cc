#include "store/replay/segment_reader.h"

#include <fcntl.h>

#include <list>
#include <map>

#include "store/base/file.h"
#include "store/base/mutex.h"
#include "store/base/unique_fd.h"
#include "store/codec/codec.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {
namespace {

constexpr size_t kMaxOpenSegments = 16;

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
using Frame = std::shared_ptr<const std::vector<std::byte>>;

Status DecodeBody(const RecordHeader& header, std::vector<std::byte> stored, std::vector<std::byte>* body) {
  DKFS_TRY(CheckRecordBody(header, stored));
  if (!(header.flags & kRecordCompressed)) {
    *body = std::move(stored);
    return Status::Ok();
  }
  if (header.body_bytes > kMaxRecordBytes) return Status::Corruption("frame larger than a record may be");
  body->resize(header.body_bytes);
  return codec::Decompress(stored, *body);
}

}  // namespace

class SegmentReader::Impl {
 public:
  Impl(std::string journal_path, uint64_t cache_bytes)
      : path_(std::move(journal_path)), segments_(kMaxOpenSegments), frames_(cache_bytes) {}

  Status Read(const Location& where, MutableBytes out) EXCLUDES(mutex_) {
    if (where.frame == 0) {
      DKFS_TRY_ASSIGN(SegmentRef segment, Segment(where.segment));
      return file::ReadExactAt(segment->fd.get(), out, where.offset, segment->path);
    }
    DKFS_TRY_ASSIGN(Frame frame, LoadFrame(where));
    if (where.offset > frame->size() || out.size() > frame->size() - where.offset) {
      return Status::Corruption(SegmentPath(where.segment) + ": payload beyond its frame at " +
                                std::to_string(where.frame));
    }
    if (!out.empty()) std::memcpy(out.data(), frame->data() + where.offset, out.size());
    return Status::Ok();
  }

  void Forget(SegmentId id) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    segments_.EraseIf([&](SegmentId key) { return key == id; });
    frames_.EraseIf([&](const FrameKey& key) { return key.first == id; });
  }

 private:
  using FrameKey = std::pair<SegmentId, uint32_t>;

  std::string SegmentPath(SegmentId id) const { return path_ + "/" + SegmentName(id, SegmentKind::kJournal); }

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
      Result<UniqueFd> fd = file::Open(AT_FDCWD, segment->path, O_RDONLY);
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

  Result<Frame> LoadFrame(const Location& where) EXCLUDES(mutex_) {
    const FrameKey key{where.segment, where.frame};
    {
      MutexLock lock(mutex_);
      if (Frame found = frames_.Find(key)) return found;
    }
    DKFS_TRY_ASSIGN(SegmentRef segment, Segment(where.segment));
    auto body = std::make_shared<std::vector<std::byte>>();
    Status status = ReadFrame(*segment, where.frame, body.get());
    if (!status.ok()) return status.Prefix(segment->path + " at " + std::to_string(where.frame));
    Frame frame = std::move(body);
    MutexLock lock(mutex_);
    frames_.Insert(key, frame, frame->size());
    return frame;
  }

  static Status ReadFrame(const OpenSegment& segment, uint32_t offset, std::vector<std::byte>* body) {
    std::array<std::byte, kRecordHeaderBytes> raw;
    DKFS_TRY(file::ReadExactAt(segment.fd.get(), raw, offset, segment.path));
    RecordHeader header;
    DKFS_TRY(DecodeRecordHeader(raw, segment.salt, &header));
    if (header.stored_bytes > kMaxRecordBytes) return Status::Corruption("record larger than allowed");
    std::vector<std::byte> stored(header.stored_bytes);
    DKFS_TRY(file::ReadExactAt(segment.fd.get(), stored, offset + kRecordHeaderBytes, segment.path));
    return DecodeBody(header, std::move(stored), body);
  }

  const std::string path_;
  Mutex mutex_;
  Lru<SegmentId, SegmentRef> segments_ GUARDED_BY(mutex_);
  Lru<FrameKey, Frame> frames_ GUARDED_BY(mutex_);
};

SegmentReader::SegmentReader(std::string journal_path, uint64_t cache_bytes)
    : impl_(std::make_unique<Impl>(std::move(journal_path), cache_bytes)) {}
SegmentReader::~SegmentReader() = default;
Status SegmentReader::Read(const Location& where, MutableBytes out) { return impl_->Read(where, out); }
void SegmentReader::Forget(SegmentId id) { impl_->Forget(id); }

}  // namespace dkfs
