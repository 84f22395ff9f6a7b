#include "store/index/rows.h"

#include <algorithm>

#include "store/base/fault.h"
#include "store/base/hash.h"

namespace dkfs {
namespace {

class RowMaker {
 public:
  RowMaker(const Item& item, const Appended& at, std::string_view* references, const RowSink& sink)
      : item_(item), at_(at), seq_(item.as_of ? item.as_of : at.seq), references_(references), sink_(sink) {}

  void operator()(const InodeItem& inode) const {
    std::string value;
    EncodeInodeState(inode.state, &value);
    sink_(Family::kInode, keys::Inode(inode.file, seq_), value);
  }

  void operator()(const NameItem& name) const {
    bool bug = false;  // sown by tests: the name comes back
    if (!name.child && Fault::PassSync("bug.name_stays", &bug).ok() && bug) return;
    sink_(Family::kName, keys::Name(name.parent, name.name, seq_),
          values::Encode(NameValue{name.child, name.entry, name.type}));
    sink_(Family::kEntry, keys::Entry(name.parent, name.entry, seq_),
          values::Encode(EntryValue{name.child, name.type, name.name}));
    if (name.child) {
      sink_(Family::kLink, keys::Link(name.child, name.parent, name.entry, seq_), std::string_view(&kLinkLive, 1));
    }
  }

  void operator()(const XattrItem& xattr) const {
    std::string value(1, xattr.gone ? kXattrGone : kXattrLive);
    if (!xattr.gone) value += xattr.value;
    sink_(Family::kXattr, keys::Xattr(xattr.file, xattr.name, seq_), value);
  }

  // `n` follows from the range itself, not from its place among others: packing may tear ranges of one record apart.
  void operator()(const RangeItem& range) const {
    std::string value = values::Encode(range);
    uint32_t n = static_cast<uint32_t>(Hash64(AsBytes(value)));
    sink_(Family::kRange, keys::Range(range.file, seq_, n), value);
  }

  void operator()(const BlocksItem& blocks) const {
    bool bug = false;  // sown by tests: an older version is served
    if (Fault::PassSync("bug.stale_block", &bug).ok() && bug) return;
    uint32_t position = item_.payload_offset;
    for (size_t i = 0; i < blocks.versions.size(); ++i) {
      BlockEntry entry{blocks.versions[i], PlaceOf(position)};
      position += entry.version.stored_bytes;
      if (entry.version.kind == BlockKind::kReference) Resolve(&entry);
      sink_(Family::kBlock, keys::Block(blocks.file, blocks.layout, blocks.first + i, seq_), values::Encode(entry));
    }
  }

  void operator()(const VoidItem&) const {}

  // The records themselves are gone, so these moments lie nowhere. Whether time went back before or after them cannot
  // be known here; a step too many costs SeqAt one search.
  void operator()(const MomentsItem& moments) const {
    if (moments.times.empty()) return;
    for (size_t i = 0; i < moments.times.size(); ++i) {
      Seq seq{moments.first.value + i};
      sink_(Family::kMoment, keys::Moment(seq), values::Encode(MomentValue{moments.times[i], SegmentId{}, 0}));
      if (i == 0 || moments.times[i] < moments.times[i - 1]) sink_(Family::kMeta, StepKey(seq), {});
    }
    sink_(Family::kMeta, StepKey(Seq{moments.first.value + moments.times.size()}), {});
  }

 private:
  Location PlaceOf(uint32_t position) const {
    return LocationIn(at_.segment, at_.kind, at_.compressed, at_.offset, position);
  }

  // A reference that cannot be read stays one, which no reader takes for content (G6).
  void Resolve(BlockEntry* entry) const {
    std::string_view payload = references_->substr(0, std::min(references_->size(), kReferenceBytes));
    references_->remove_prefix(payload.size());
    Reference reference;
    if (!DecodeReference(AsBytes(payload), &reference).ok()) return;
    entry->version.kind = reference.kind;
    entry->version.stored_bytes = reference.stored_bytes;
    entry->location.frame = reference.frame;
    entry->location.offset = reference.offset;
  }

  const Item& item_;
  const Appended& at_;
  const Seq seq_;
  std::string_view* const references_;
  const RowSink& sink_;
};

constexpr std::string_view kStep = "step/";

}  // namespace

void EachRow(const Item& item, const Appended& at, std::string_view* references, const RowSink& sink) {
  std::visit(RowMaker(item, at, references, sink), item.body);
}

std::string StepPrefix() { return std::string(kStep); }

std::string StepKey(Seq seq) {
  std::string key(kStep);
  PutBe(&key, seq.value);
  return key;
}

}  // namespace dkfs
