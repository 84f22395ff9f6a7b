#include "tests/crash/oracle/plan.h"

#include <algorithm>
#include <array>
#include <set>

#include "store/base/hash.h"
#include "tests/support/random.h"

namespace dkfs::oracle {
namespace {

constexpr uint64_t kMostBytes = 256 << 10;   // size of most files
constexpr uint64_t kRequestBytes = 1 << 20;  // what the kernel moves in one request
constexpr uint64_t kPage = 4096;
constexpr size_t kMostFiles = 24;
constexpr std::array<uint8_t, static_cast<size_t>(Kind::kCount)> kWeights = {
    10,                        // create
    24, 8, 1, 5, 2,            // write append big_write mapped mapped_unmap
    4,  3, 2, 3, 2, 2,         // truncate_down truncate_up allocate_keep punch zero_range extend
    6,  4, 3, 3, 4, 6, 3,      // rename rename_over exchange noreplace link unlink orphan
    4,  3, 3, 1, 2,            // mkdir rmdir symlink fifo tmpfile
    3,  2, 3, 4, 2,            // chmod chown utimens setxattr removexattr
    3,  3, 2, 5, 3, 3, 6, 2};  // copy_range sync_write dsync_write fsync fdatasync sync_dir shared_write shared_sync

class Planner {
 public:
  Planner(uint64_t seed, const Model& model) : random_(seed), model_(model) {}

  bool TryNext(Op* op) {
    *op = Op();
    op->kind = PickKind();
    switch (op->kind) {
      case Kind::kCreate:
      case Kind::kTmpFile:
      case Kind::kMkdir:
      case Kind::kSymlink:
      case Kind::kFifo:
        return PlanNew(op);
      case Kind::kRename:
      case Kind::kRenameOver:
      case Kind::kExchange:
      case Kind::kNoReplace:
      case Kind::kLink:
        return PlanTwoNames(op);
      case Kind::kUnlink:
      case Kind::kOrphan:
      case Kind::kRmdir:
        return PlanRemoval(op);
      case Kind::kChmod:
      case Kind::kChown:
      case Kind::kUtimens:
      case Kind::kSetXattr:
      case Kind::kRemoveXattr:
        return PlanAttribute(op);
      case Kind::kFsync:
      case Kind::kFdatasync:
        return PickPath(op->kind == Kind::kFsync && random_.OneIn(5) ? "d" : "f", &op->path);
      case Kind::kSyncDir:
        if (random_.OneIn(4)) return op->path = kShared, true;
        return PickPath("d", &op->path);
      case Kind::kSharedWrite:
      case Kind::kSharedSync:
        return PlanShared(op);
      default:
        return PlanContent(op);
    }
  }

 private:
  Kind PickKind() {
    uint64_t total = 0;
    for (uint8_t weight : kWeights) total += weight;
    uint64_t at = random_.Below(total);
    size_t kind = 0;
    while (at >= kWeights[kind]) at -= kWeights[kind++];
    return static_cast<Kind>(kind);
  }

  bool PickPath(std::string_view types, std::string* path) {
    std::vector<const std::string*> fit;
    for (const auto& [name, id] : model_.names()) {
      if (types.find(model_.node(id).type) != types.npos) fit.push_back(&name);
    }
    if (fit.empty()) return false;
    *path = *fit[random_.Below(fit.size())];
    return true;
  }

  // A name that is not there, in one of the thread's directories or in the shared one. Few names, so that they return.
  bool PickNew(std::string* path) {
    std::string dir;
    if (!random_.OneIn(4) && !PickPath("d", &dir)) return false;
    const std::string base = dir.empty() ? PrefixOf(model_.thread()) : dir + "/";
    if (std::count(base.begin(), base.end(), '/') > 4) return false;
    *path = base + static_cast<char>('a' + random_.Below(10));
    if (random_.OneIn(8)) *path += std::string(60, 'n');
    return !model_.Has(*path);
  }

  bool PlanNew(Op* op) {
    static constexpr uint32_t kModes[] = {0600, 0644, 0640, 0700, 0755, 0666};
    if (model_.names().size() > kMostFiles || !PickNew(&op->path)) return false;
    op->mode = kModes[random_.Below(6)];
    if (op->kind == Kind::kSymlink) op->data = random_.Name(random_.OneIn(4) ? 200 : 20);
    if (op->kind == Kind::kTmpFile) op->data = Content(1 + random_.Below(20000));
    return true;
  }

  bool PlanTwoNames(Op* op) {
    if (op->kind == Kind::kLink) return PickPath("flp", &op->path) && PickNew(&op->other);
    if (op->kind == Kind::kRenameOver) {
      return PickPath("flp", &op->path) && PickPath("flp", &op->other) &&
             model_.names().at(op->path) != model_.names().at(op->other);
    }
    if (!PickPath("dflp", &op->path)) return false;
    const bool found = op->kind == Kind::kExchange ? PickPath("dflp", &op->other) : PickNew(&op->other);
    const std::string home = HomeOf(model_.thread());
    const bool nested = (op->other + "/").starts_with(op->path + "/") || (op->path + "/").starts_with(op->other + "/");
    return found && !nested && op->path != home && op->other != home &&
           (!model_.Has(op->other) || model_.names().at(op->path) != model_.names().at(op->other));
  }

  bool PlanRemoval(Op* op) {
    if (op->kind == Kind::kUnlink) return PickPath("flp", &op->path);
    if (op->kind == Kind::kOrphan) {
      op->data = Content(1 + random_.Below(9000));
      return PickPath("f", &op->path) && model_.Links(op->path) == 1;
    }
    return PickPath("d", &op->path) && op->path != HomeOf(model_.thread()) && model_.IsEmptyDir(op->path);
  }

  bool PlanAttribute(Op* op) {
    static constexpr uint32_t kModes[] = {0600, 0644, 0640, 0700, 0755, 0666, 0604, 0751};
    if (!PickPath("df", &op->path)) return false;
    op->mode = kModes[random_.Below(8)];
    op->uid = static_cast<uint32_t>(random_.Below(3) * 1000);
    op->gid = static_cast<uint32_t>(random_.Below(3) * 100);
    op->mtime_ns = static_cast<int64_t>(random_.Below(2'000'000'000) * 1'000'000'000 + random_.Below(1'000'000'000));
    if (op->kind == Kind::kSetXattr) {
      op->xattr = std::string("user.") + static_cast<char>('a' + random_.Below(3));
      op->data = random_.Name(random_.OneIn(4) ? 500 : 20);
    }
    if (op->kind != Kind::kRemoveXattr) return true;
    const auto& xattrs = model_.at(op->path).xattrs;
    if (xattrs.empty()) return false;
    op->xattr = std::next(xattrs.begin(), static_cast<long>(random_.Below(xattrs.size())))->first;
    return true;
  }

  bool PlanShared(Op* op) {
    op->path = SharedFile(static_cast<int>(random_.Below(kSharedFiles)));
    if (op->kind == Kind::kSharedSync) return true;
    const uint64_t bytes = 1 + random_.Below(12000), at = Aligned(random_.Below(kRegionBytes - bytes));
    op->offset = model_.thread() * kRegionBytes + at;
    op->data = Content(bytes);
    op->bytes = bytes;
    CutIntoRequests(op);
    return true;
  }

  bool PlanContent(Op* op) {
    if (!PickPath("f", &op->path)) return false;
    const uint64_t size = model_.at(op->path).size();
    const bool needs_bytes = op->kind == Kind::kTruncateDown || op->kind == Kind::kPunch || op->kind == Kind::kMapped ||
                             op->kind == Kind::kMappedUnmap || op->kind == Kind::kZeroRange;
    if (needs_bytes && size < 2) return false;
    op->bytes = 1 + random_.Below(random_.OneIn(3) ? 64 << 10 : 9000);
    op->offset = Aligned(random_.Below(std::min(size + 1, kMostBytes)));
    switch (op->kind) {
      case Kind::kBigWrite:
        return PlanBig(op);
      case Kind::kMapped:
      case Kind::kMappedUnmap:
        return PlanMapped(op, size);
      case Kind::kCopyRange:
        return PlanCopy(op);
      case Kind::kTruncateDown:
        op->bytes = random_.OneIn(4) ? 0 : Aligned(random_.Below(size));
        return true;
      case Kind::kTruncateUp:
        op->bytes = size + 1 + random_.Below(50000);
        return size < 2 * kMostBytes;
      case Kind::kZeroRange:
        op->bytes = std::min(op->bytes, size - std::min(op->offset, size));
        return op->bytes > 0;
      case Kind::kExtend:
      case Kind::kAllocateKeep:
      case Kind::kPunch:
        return size < 2 * kMostBytes;
      default:
        break;
    }
    if (op->kind == Kind::kAppend) op->offset = size;
    if (size > 2 * kMostBytes && op->kind == Kind::kAppend) return false;
    if (random_.OneIn(4)) op->bytes = std::min<uint64_t>(RoundUp(op->bytes, kPage), 64 << 10);
    op->data = Content(op->bytes);
    CutIntoRequests(op);
    return true;
  }

  bool PlanBig(Op* op) {
    if (!random_.OneIn(2)) return false;
    op->offset = random_.OneIn(2) ? 0 : random_.Below(9000);
    op->bytes = kRequestBytes + 1 + random_.Below(kRequestBytes);
    op->data = Content(op->bytes);
    CutIntoRequests(op);
    return true;
  }

  // Where the kernel may cut a write: after each MiB of pages, and behind a first page that is written in part and that
  // it does not hold in its cache; the full MiBs begin there then.
  static void CutIntoRequests(Op* op) {
    const uint64_t end = op->offset + op->bytes;
    std::set<uint64_t> cuts = {end};
    for (uint64_t cut = RoundDown(op->offset, kPage) + kRequestBytes; cut < end; cut += kRequestBytes) cuts.insert(cut);
    if (op->offset % kPage != 0) {
      for (uint64_t cut = RoundUp(op->offset, kPage); cut < end; cut += kRequestBytes) cuts.insert(cut);
    }
    for (uint64_t at = op->offset; const uint64_t cut : cuts) {
      op->pieces.push_back({at, cut - at});
      at = cut;
    }
    if (op->pieces.size() == 1) op->pieces.clear();
  }

  bool PlanMapped(Op* op, uint64_t size) {
    op->offset = std::min(op->offset, size - 1);
    op->bytes = std::min<uint64_t>(op->bytes, size - op->offset);
    op->data = Content(op->bytes);
    for (uint64_t at = op->offset, end = op->offset + op->bytes; at < end;) {
      const uint64_t cut = std::min(end, RoundDown(at, kPage) + kPage);
      op->pieces.push_back({at, cut - at});
      at = cut;
    }
    return true;
  }

  bool PlanCopy(Op* op) {
    if (!PickPath("f", &op->other) || model_.names().at(op->other) == model_.names().at(op->path)) return false;
    const uint64_t size = model_.at(op->other).size();
    if (size == 0) return false;
    op->from = random_.Below(size);
    op->bytes = std::min<uint64_t>({op->bytes, size - op->from, 16 << 10});
    CutIntoRequests(op);
    return true;
  }

  uint64_t Aligned(uint64_t at) { return random_.OneIn(2) ? RoundDown(at, kPage) : at; }

  // Unlike any other content, sometimes compressible.
  std::string Content(uint64_t bytes) {
    std::string text = random_.Text(random_.OneIn(3) ? std::min<uint64_t>(bytes, 64) : bytes);
    while (text.size() < bytes) text += text.substr(0, std::min(text.size(), bytes - text.size()));
    return text;
  }

  test::Random random_;
  const Model& model_;
};

}  // namespace

Op PlanOp(const Workload& workload, uint64_t number, const Model& model) {
  constexpr int kTries = 40;
  Planner planner(Hash64(AsBytes("op"), workload.seed) + (uint64_t{model.thread()} << 40) + number * 7919, model);
  Op op;
  for (int i = 0; i < kTries; ++i) {
    if (planner.TryNext(&op)) return op;
  }
  op = Op();
  op.kind = Kind::kSyncDir;
  op.path = HomeOf(model.thread());
  return op;
}

}  // namespace dkfs::oracle
