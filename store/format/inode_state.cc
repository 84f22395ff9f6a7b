#include "store/format/inode_state.h"

#include <algorithm>
#include <array>

#include "store/format/item.h"
#include "store/format/wire.h"

namespace dkfs {
namespace {

// Optional fields: written only when they are not zero, in this order, behind the fixed part.
enum Present : uint8_t { kRdev = 1, kAdopted = 2, kReplaced = 4, kTarget = 8, kAllPresent = 15 };
constexpr size_t kFixedBytes = 80;
constexpr size_t kMaxTargetBytes = 4095;

uint8_t PresentIn(const InodeState& state) {
  uint8_t present = 0;
  if (state.rdev != 0) present |= kRdev;
  if (state.adopted_size != 0) present |= kAdopted;
  if (state.replaced || state.replaced_at) present |= kReplaced;
  if (!state.symlink_target.empty()) present |= kTarget;
  return present;
}

size_t OptionalBytes(uint8_t present, size_t target_bytes) {
  return ((present & kRdev) != 0 ? 8u : 0u) + ((present & kAdopted) != 0 ? 8u : 0u) +
         ((present & kReplaced) != 0 ? 16u : 0u) + ((present & kTarget) != 0 ? 2 + target_bytes : 0u);
}

// The default is first, so that 0 spells it.
constexpr std::array<uint8_t, 4> kCompressions = {3, 0, 1, 9};
constexpr std::array<uint8_t, 4> kFoldIntervals = {24, 8, 48, 96};

template <class Kinds>
size_t KindOf(const Kinds& kinds, uint8_t value) {
  return static_cast<size_t>(std::find(kinds.begin(), kinds.end(), value) - kinds.begin());
}

bool IsWellFormed(const InodeState& state) {
  return wire::IsValid(state.atime) && wire::IsValid(state.mtime) && wire::IsValid(state.ctime) &&
         wire::IsValid(state.btime) && wire::IsValid(state.layout) && wire::IsValidShift(state.block_shift) &&
         state.content <= ContentState::kAdopting && state.replaced.value <= kMaxFileId &&
         state.symlink_target.size() <= kMaxTargetBytes;
}

void ReadOptional(uint8_t present, ByteReader* in, InodeState* out) {
  if ((present & kRdev) != 0) out->rdev = in->Le<uint64_t>();
  if ((present & kAdopted) != 0) out->adopted_size = in->Le<uint64_t>();
  if ((present & kReplaced) != 0) {
    out->replaced = FileId{in->Le<uint64_t>()};
    out->replaced_at = Seq{in->Le<uint64_t>()};
  }
  if ((present & kTarget) != 0) out->symlink_target = AsString(in->Take(in->Le<uint16_t>()));
}

}  // namespace

bool IsSpelled(const CapturePolicy& policy) {
  return KindOf(kCompressions, policy.compression) < kCompressions.size() &&
         KindOf(kFoldIntervals, policy.fold_interval) < kFoldIntervals.size();
}

uint8_t SpellPolicy(const CapturePolicy& policy) {
  DKFS_CHECK(IsSpelled(policy));
  return static_cast<uint8_t>((policy.delta ? 0 : 1) | KindOf(kCompressions, policy.compression) << 1 |
                              KindOf(kFoldIntervals, policy.fold_interval) << 3 | (policy.long_frames ? 32 : 0));
}

CapturePolicy PolicyOf(uint8_t spelled) {
  return {(spelled & 1) == 0, kCompressions[spelled >> 1 & 3], kFoldIntervals[spelled >> 3 & 3], (spelled & 32) != 0};
}

void EncodeInodeState(const InodeState& state, std::string* out) {
  DKFS_CHECK(state.symlink_target.size() <= kMaxTargetBytes);
  const uint8_t present = PresentIn(state);
  wire::Writer w(out, kFixedBytes + OptionalBytes(present, state.symlink_target.size()));
  w.Le<uint32_t>(state.mode);
  w.Le<uint32_t>(state.uid);
  w.Le<uint32_t>(state.gid);
  w.Le<uint32_t>(state.nlink);
  w.Le<uint64_t>(state.size);
  w.Time(state.atime);
  w.Time(state.mtime);
  w.Time(state.ctime);
  w.Time(state.btime);
  w.Layout(state.layout);
  w.Le<uint8_t>(state.block_shift);
  w.Le<uint8_t>(static_cast<uint8_t>(state.content));
  w.Le<uint8_t>(present);
  w.Le<uint8_t>(SpellPolicy(state.policy));
  if ((present & kRdev) != 0) w.Le<uint64_t>(state.rdev);
  if ((present & kAdopted) != 0) w.Le<uint64_t>(state.adopted_size);
  if ((present & kReplaced) != 0) {
    w.Id64(state.replaced);
    w.Id64(state.replaced_at);
  }
  if ((present & kTarget) != 0) {
    w.Le<uint16_t>(static_cast<uint16_t>(state.symlink_target.size()));
    w.Text(state.symlink_target);
  }
}

Status DecodeInodeState(Bytes data, InodeState* out) {
  ByteReader in(data);
  InodeState state;
  state.mode = in.Le<uint32_t>();
  state.uid = in.Le<uint32_t>();
  state.gid = in.Le<uint32_t>();
  state.nlink = in.Le<uint32_t>();
  state.size = in.Le<uint64_t>();
  state.atime = wire::ReadTime(&in);
  state.mtime = wire::ReadTime(&in);
  state.ctime = wire::ReadTime(&in);
  state.btime = wire::ReadTime(&in);
  state.layout = LayoutId{in.Le<uint32_t>()};
  state.block_shift = in.Le<uint8_t>();
  state.content = static_cast<ContentState>(in.Le<uint8_t>());
  const uint8_t present = in.Le<uint8_t>();
  state.policy = PolicyOf(in.Le<uint8_t>());
  if (!in.ok()) return Status::Corruption("inode state cut short");
  if ((present & ~kAllPresent) != 0) return Status::Error(ENOTSUP, "inode state with fields of a newer version");
  ReadOptional(present, &in, &state);
  if (!wire::IsWhole(in)) return Status::Corruption("inode state of a wrong length");
  if (!IsWellFormed(state)) return Status::Corruption("inode state out of range");
  *out = std::move(state);
  return Status::Ok();
}

}  // namespace dkfs
