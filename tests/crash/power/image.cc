// One image of a Disk: which of the unsynced changes are there.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "store/base/unique_fd.h"
#include "tests/crash/power/disk.h"
#include "tests/support/random.h"

namespace dkfs::test {
namespace {

constexpr uint64_t kSector = 512;

// How much of what was not synced is there.
enum class Data { kNothing, kEverything, kPrefix, kPages, kSectors, kWrites };
enum class Order { kNothing, kEverything, kPrefix, kPrefixOfEach };

uint64_t Mix(uint64_t a, uint64_t b) { return Random(a ^ (b * 0x9e3779b97f4a7c15)).Next(); }

}  // namespace

class Disk::Image {
 public:
  Image(const Disk& disk, uint64_t variant) : disk_(disk), random_(variant * 77) {
    if (variant == kNothingUnsynced || variant == kEverything) {
      data_ = variant == kEverything ? Data::kEverything : Data::kNothing;
      order_ = variant == kEverything ? Order::kEverything : Order::kNothing;
      return;
    }
    per_file_ = random_.OneIn(2);
    data_ = AnyData();
    order_ = static_cast<Order>(random_.Below(4));
    names_until_ = AnyIndex();
    data_until_ = AnyIndex();
    odds_ = random_.Below(3);
  }

  Status Write(const Node& dir, const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0) return Status::FromErrno(path);
    for (const auto& [name, node] : NamesOf(dir)) {
      const std::string below = path + "/" + name;
      if (node->is_dir) {
        DKFS_TRY(Write(*node, below));
        continue;
      }
      const UniqueFd fd(::open(below.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
      if (!fd) return Status::FromErrno(below);
      DKFS_TRY(ContentOf(*node).WriteTo(fd.get()).Prefix(below));
    }
    return Status::Ok();
  }

 private:
  Data AnyData() { return static_cast<Data>(random_.Below(6)); }

  // The index of some pending change.
  uint64_t AnyIndex() {
    std::vector<uint64_t> all;
    EachNode(disk_.root_, [&](const NodeRef& node) {
      for (const Change& change : node->pending) all.push_back(change.index);
      for (const NameChange& change : node->pending_names) all.push_back(change.index);
    });
    return all.empty() ? 0 : all[random_.Below(all.size())];
  }

  Names NamesOf(const Node& dir) {
    uint64_t until = 0;  // changes up to here are there
    if (order_ == Order::kEverything) until = UINT64_MAX;
    if (order_ == Order::kPrefix) until = std::max(names_until_, disk_.last_durable_name_);
    if (order_ == Order::kPrefixOfEach && !dir.pending_names.empty()) {
      const uint64_t kept = random_.Below(dir.pending_names.size() + 1);
      until = kept == 0 ? 0 : dir.pending_names[kept - 1].index;
    }
    Names names = dir.names;
    for (const NameChange& change : dir.pending_names) {
      if (change.index > until) break;
      if (!change.erase.empty()) names.erase(change.erase);
      if (!change.set.empty()) names[change.set] = change.node;
    }
    return names;
  }

  Content ContentOf(const Node& node) {
    Content content = node.durable;
    if (node.pending.empty()) return content;
    const Data data = per_file_ ? AnyData() : data_;
    if (data == Data::kNothing) return content;
    if (data == Data::kEverything || data == Data::kPrefix) {
      Prefix(node, data == Data::kEverything ? UINT64_MAX : data_until_, &content);
    } else {
      Scattered(node, data, &content);
    }
    return content;
  }

  // Everything before the change at index `until`, and a part of that.
  void Prefix(const Node& node, uint64_t until, Content* content) {
    for (const Change& change : node.pending) {
      if (change.index > until) return;
      if (change.index < until || change.kind != Kind::kWrite || change.length == 0) {
        ApplyChange(change, content);
        continue;
      }
      Change torn = change;
      torn.length = random_.Below(change.length);
      if (random_.OneIn(2)) torn.length = RoundDown(torn.length, kSector);
      if (!torn.data.empty()) torn.data = torn.data.first(torn.length);
      const uint64_t size = content->size;
      ApplyChange(torn, content);
      if (random_.OneIn(2)) content->size = std::max(size, change.offset + change.length);
    }
  }

  // Each unit by itself keeps what was written to it up to some change; the size is one the file has had.
  void Scattered(const Node& node, Data data, Content* content) {
    const size_t sized = random_.Below(node.pending.size() + 1);  // changes of the size before this one are there
    const size_t torn = random_.Below(node.pending.size() * 2);
    const uint64_t salt = random_.Next();
    uint64_t size = content->size;
    uint64_t lost_from = UINT64_MAX;  // what was written there belongs to a truncation that is not there
    for (size_t i = 0; i < node.pending.size(); ++i) {
      const Change& change = node.pending[i];
      if (change.kind == Kind::kWrite) {
        Pieces(change, data, {.salt = salt, .at = i, .count = node.pending.size(), .torn = i == torn}, lost_from,
               content);
        if (i < sized) size = std::max(size, change.offset + change.length);
      } else if (change.kind == Kind::kAllocate) {
        if (i < sized) size = std::max(size, change.length);
      } else if (i < sized) {
        content->DropFrom(change.length);
        size = change.length;
      } else {
        lost_from = std::min(lost_from, change.length);
      }
    }
    content->size = size;
  }

  struct Piece {
    uint64_t salt;
    size_t at, count;
    bool torn;
  };

  void Pieces(const Change& change, Data data, const Piece& piece, uint64_t lost_from, Content* content) {
    const uint64_t unit = data == Data::kSectors ? kSector : kPage;
    for (uint64_t done = 0; done < change.length;) {
      const uint64_t offset = change.offset + done;
      uint64_t n = std::min(unit - offset % unit, change.length - done);
      const uint64_t next = done + n;
      if (offset >= lost_from) return;
      if (Kept(offset / unit, data, piece)) {
        if (piece.torn) n = random_.Below(n + 1);
        content->Put(offset, n, change.data.empty() ? change.data : change.data.subspan(done, n));
      }
      done = next;
    }
  }

  bool Kept(uint64_t unit, Data data, const Piece& piece) const {
    // One write by itself, or all writes to the unit up to one of them.
    const uint64_t draw = Mix(piece.salt, data == Data::kWrites ? unit * 7919 + piece.at : unit);
    if (data == Data::kWrites) return draw % 4 <= odds_;
    const uint64_t sort = draw % 4;
    if (sort == 3) return piece.at < (draw >> 8) % (piece.count + 1);
    return sort <= odds_;  // all or none of them
  }

  const Disk& disk_;
  Random random_;
  bool per_file_ = false;
  Data data_ = Data::kNothing;
  Order order_ = Order::kNothing;
  uint64_t names_until_ = 0, data_until_ = 0;
  uint64_t odds_ = 1;
};

Status Disk::Build(uint64_t variant, const std::string& path) const {
  return Image(*this, variant).Write(*root_, path);
}

}  // namespace dkfs::test
