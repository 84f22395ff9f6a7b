// Reading a file from end to end: the index is asked for a window of versions at a time, and payloads that stand one
// after another in a segment, as sequential writes leave them, are read with one call.
#include <algorithm>

#include "store/base/hash.h"
#include "store/replay/range_set.h"
#include "store/replay/reconstruct.h"

namespace dkfs {
namespace {

constexpr size_t kWindow = 512;  // versions asked of the index at once
constexpr size_t kRunBytes = 1 << 20;

struct Found {
  uint64_t block;
  Seq seq;
  BlockEntry entry;
};

bool IsRaw(const Found& f) { return f.entry.version.kind == BlockKind::kBaseline && f.entry.location.frame == 0; }

}  // namespace

class BlockStream {
 public:
  using Each = std::function<bool(const BlockRun&)>;
  BlockStream(Reconstructor* from, FileId file, const InodeState& state, Seq at, const Each& each)
      : from_(from),
        file_(file),
        state_(state),
        at_(at),
        each_(each),
        block_bytes_(size_t{1} << state.block_shift),
        run_blocks_(kRunBytes >> state.block_shift) {}

  Status Run(uint64_t first, uint64_t end) {
    DKFS_TRY(ranges_.Load(from_->index_, file_, state_.layout, at_));
    next_ = first;
    while (more_ && next_ < end) {
      bool full = false;
      DKFS_TRY(LoadWindow(next_, end, &full));
      DKFS_TRY(EmitWindow());
      if (!full) break;
    }
    DKFS_TRY(Gap(end));
    FlushHole();
    return Status::Ok();
  }

 private:
  Status LoadWindow(uint64_t first, uint64_t end, bool* full) {
    window_.clear();
    Status walked = from_->index_->Blocks(file_, state_.layout, first, end, at_,
                                          [&](uint64_t block, Seq seq, const BlockEntry& entry) {
                                            window_.push_back({block, seq, entry});
                                            *full = window_.size() == kWindow;
                                            return !*full;
                                          });
    return walked.IsNotFound() ? Status::Ok() : walked;
  }

  Status EmitWindow() {
    for (size_t i = 0; more_ && i < window_.size();) {
      const Found& found = window_[i];
      DKFS_TRY(Gap(found.block));
      if (!more_) break;
      DKFS_TRY_ASSIGN(bool zeros, IsZeros(found));
      size_t count = 1;
      if (zeros) {
        AddHole(found.block, 1);
      } else {
        DKFS_TRY_ASSIGN(count, CountTogether(i));
        FlushHole();
        if (more_) EmitData(i, count);
      }
      next_ = found.block + count;
      i += count;
    }
    return Status::Ok();
  }

  Result<bool> IsZeros(const Found& found) const {
    if (found.entry.version.kind == BlockKind::kHole) return true;
    DKFS_TRY_ASSIGN(Seq range, ranges_.Covering(found.block, found.seq));
    return range > found.seq;
  }

  // How many versions from `i` on are of consecutive blocks with data, so that they go out as one run.
  Result<size_t> CountTogether(size_t i) const {
    size_t count = 1;
    while (i + count < window_.size() && count < run_blocks_ && window_[i + count].block == window_[i].block + count) {
      DKFS_TRY_ASSIGN(bool zeros, IsZeros(window_[i + count]));
      if (zeros) break;
      ++count;
    }
    return count;
  }

  void EmitData(size_t i, size_t count) {
    buffer_.resize(std::max(buffer_.size(), count * block_bytes_));
    size_t good = 0;  // blocks of the run so far, from `begin` on
    size_t begin = 0;
    for (size_t k = 0; more_ && k < count;) {
      const size_t together = ReadTogether(i + k, count - k, k);
      for (size_t j = k; more_ && j < k + together; ++j) {
        Status status = Check(window_[i + j], j);
        if (status.ok()) {
          ++good;
          continue;
        }
        EmitRun(window_[i].block + begin, good, Status::Ok(), begin);
        if (more_) EmitRun(window_[i].block + j, 1, std::move(status), j);
        begin = j + 1;
        good = 0;
      }
      k += together;
    }
    EmitRun(window_[i].block + begin, good, Status::Ok(), begin);
  }

  // Reads the raw baselines from window_[i] on that stand side by side, at most `limit`, to place `at` of the buffer.
  // Whatever went wrong shows in Check. At least 1.
  size_t ReadTogether(size_t i, size_t limit, size_t at) {
    read_ok_ = false;
    if (!IsRaw(window_[i])) return 1;
    size_t count = 1;
    while (count < limit && FollowsRaw(window_[i + count - 1], window_[i + count])) ++count;
    const BlockVersion& last = window_[i + count - 1].entry.version;
    if (last.stored_bytes > block_bytes_) return count;
    MutableBytes out = MutableBytes(buffer_).subspan(at * block_bytes_, (count - 1) * block_bytes_ + last.stored_bytes);
    read_ok_ = from_->reader_->Read(window_[i].entry.location, out).ok();
    std::fill_n(out.data() + out.size(), block_bytes_ - last.stored_bytes, std::byte{0});
    return count;
  }

  bool FollowsRaw(const Found& a, const Found& b) const {
    return IsRaw(b) && a.entry.version.stored_bytes == block_bytes_ &&
           a.entry.location.segment == b.entry.location.segment &&
           b.entry.location.offset == a.entry.location.offset + block_bytes_;
  }

  // Makes sure that place `at` of the buffer holds the version; otherwise the long way, which also tells what is wrong.
  Status Check(const Found& found, size_t at) {
    MutableBytes block = MutableBytes(buffer_).subspan(at * block_bytes_, block_bytes_);
    if (read_ok_ && Hash64(block) == found.entry.version.checksum) return Status::Ok();
    return from_->Version({file_, state_.layout, state_.block_shift, found.block}, found.seq, 0, block);
  }

  // Blocks from next_ up to `end` that have no version.
  Status Gap(uint64_t end) {
    while (more_ && next_ < end) {
      uint64_t uncaptured = end;
      if (IsUncaptured(state_, next_)) {
        DKFS_TRY_ASSIGN(uncaptured, ranges_.FirstUncovered(next_, end));
        if (!IsUncaptured(state_, uncaptured)) uncaptured = end;
      }
      if (uncaptured > next_) AddHole(next_, uncaptured - next_);
      next_ = uncaptured;
      if (next_ == end) break;
      FlushHole();
      if (more_) Give({next_, 1, false, Status::Error(ENODATA), {}});
      ++next_;
    }
    return Status::Ok();
  }

  void AddHole(uint64_t first, uint64_t count) {
    if (hole_.count == 0) hole_.first = first;
    hole_.count += count;
  }
  void FlushHole() {
    if (more_ && hole_.count > 0) Give({hole_.first, hole_.count, true, Status::Ok(), {}});
    hole_.count = 0;
  }
  void EmitRun(uint64_t first, size_t count, Status status, size_t at) {
    if (!more_ || count == 0) return;
    Bytes data = status.ok() ? Bytes(buffer_).subspan(at * block_bytes_, count * block_bytes_) : Bytes();
    Give({first, count, false, std::move(status), data});
  }
  void Give(const BlockRun& run) { more_ = each_(run); }

  Reconstructor* const from_;
  const FileId file_;
  const InodeState& state_;
  const Seq at_;
  const Each& each_;
  const size_t block_bytes_;
  const size_t run_blocks_;
  RangeSet ranges_;
  std::vector<Found> window_;
  std::vector<std::byte> buffer_;
  uint64_t next_ = 0;
  bool more_ = true;
  bool read_ok_ = false;
  BlockRun hole_;
};

Status Reconstructor::Blocks(FileId file, const InodeState& state, uint64_t first, uint64_t end, Seq at,
                             const std::function<bool(const BlockRun&)>& each) {
  return BlockStream(this, file, state, at, each).Run(first, end);
}

Result<uint64_t> Reconstructor::NextData(FileId file, const InodeState& state, uint64_t from, Seq at) {
  const uint64_t end = (state.size + (uint64_t{1} << state.block_shift) - 1) >> state.block_shift;
  RangeSet ranges;
  DKFS_TRY(ranges.Load(index_, file, state.layout, at));
  uint64_t next = from;  // every block before it is a hole
  uint64_t found = end;
  Status status;
  // The first uncaptured block of a gap [next, stop), or `stop`.
  auto gap = [&](uint64_t stop) -> Result<uint64_t> {
    if (next >= stop || !IsUncaptured(state, next)) return stop;
    DKFS_TRY_ASSIGN(uint64_t open, ranges.FirstUncovered(next, stop));
    return open < stop && IsUncaptured(state, open) ? open : stop;
  };
  auto each = [&](uint64_t block, Seq seq, const BlockEntry& entry) {
    Result<uint64_t> open = gap(block);
    Result<Seq> range = ranges.Covering(block, seq);
    status = !open.ok() ? open.status() : range.status();
    if (!status.ok()) return false;
    const bool data = entry.version.kind != BlockKind::kHole && *range <= seq;
    if (*open < block || data) {
      found = *open < block ? *open : block;
      return false;
    }
    next = block + 1;
    return true;
  };
  if (from < end) {
    Status walked = index_->Blocks(file, state.layout, from, end, at, each);
    if (!walked.IsNotFound()) DKFS_TRY(walked);
    DKFS_TRY(status);
  }
  if (found >= end) {
    DKFS_TRY_ASSIGN(found, gap(end));
  }
  return found < end ? Result<uint64_t>(found) : Result<uint64_t>(Status::Error(ENXIO));
}

}  // namespace dkfs
