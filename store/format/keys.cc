#include "store/format/keys.h"

#include "store/format/wire.h"

namespace dkfs::keys {
namespace {

using wire::Writer;

std::string Named(FileId file, std::string_view name, const Seq* seq) {
  std::string key;
  Writer w(&key, 8 + name.size() + 1 + (seq != nullptr ? 8 : 0));
  w.Be<uint64_t>(file.value);
  w.Text(name);
  w.Zero(1);
  if (seq != nullptr) w.Be<uint64_t>(~seq->value);
  return key;
}

template <class... Parts>
std::string Join(Parts... parts) {
  std::string key;
  Writer w(&key, (sizeof(parts) + ...));
  (w.Be(parts), ...);
  return key;
}

uint32_t Low(LayoutId layout) { return static_cast<uint32_t>(layout.value); }

Seq ReadSeq(ByteReader* in) { return Seq{~in->Be<uint64_t>()}; }

Status Check(const ByteReader& in, const char* what) {
  return wire::IsWhole(in) ? Status::Ok() : Status::Corruption(std::string(what) + " key of a wrong length");
}

Status ParseNamed(Bytes key, const char* what, FileId* file, std::string* name, Seq* seq) {
  if (key.size() < 18) return Status::Corruption(std::string(what) + " key cut short");
  ByteReader in(key);
  *file = FileId{in.Be<uint64_t>()};
  *name = AsString(in.Take(key.size() - 17));
  const auto nul = in.Le<uint8_t>();
  *seq = ReadSeq(&in);
  const bool valid = nul == 0 && name->find('\0') == std::string::npos && name->size() <= kMaxNameBytes;
  return valid ? Status::Ok() : Status::Corruption(std::string(what) + " key without a name");
}

}  // namespace

std::string Block(FileId file, LayoutId layout, uint64_t block, Seq seq) {
  return Join(file.value, Low(layout), block, ~seq.value);
}
std::string BlockPrefix(FileId file, LayoutId layout) { return Join(file.value, Low(layout)); }
std::string BlockPrefix(FileId file) { return Join(file.value); }
std::string Range(FileId file, Seq seq, uint32_t n) { return Join(file.value, ~seq.value, n); }
std::string Inode(FileId file, Seq seq) { return Join(file.value, ~seq.value); }
std::string Name(FileId parent, std::string_view name, Seq seq) { return Named(parent, name, &seq); }
std::string NamePrefix(FileId parent, std::string_view name) { return Named(parent, name, nullptr); }
std::string Entry(FileId parent, EntryId entry, Seq seq) { return Join(parent.value, entry.value, ~seq.value); }
std::string Link(FileId child, FileId parent, EntryId entry, Seq seq) {
  return Join(child.value, parent.value, entry.value, ~seq.value);
}
std::string Xattr(FileId file, std::string_view name, Seq seq) { return Named(file, name, &seq); }
std::string OfFile(FileId file) { return Join(file.value); }
std::string Moment(Seq seq) { return Join(seq.value); }
std::string Segment(SegmentId id) { return Join(id.value); }

Status Parse(Bytes key, BlockKey* out) {
  ByteReader in(key);
  out->file = FileId{in.Be<uint64_t>()};
  out->layout = LayoutId{in.Be<uint32_t>()};
  out->block = in.Be<uint64_t>();
  out->seq = ReadSeq(&in);
  return Check(in, "block");
}

Status Parse(Bytes key, RangeKey* out) {
  ByteReader in(key);
  out->file = FileId{in.Be<uint64_t>()};
  out->seq = ReadSeq(&in);
  out->n = in.Be<uint32_t>();
  return Check(in, "range");
}

Status Parse(Bytes key, InodeKey* out) {
  ByteReader in(key);
  out->file = FileId{in.Be<uint64_t>()};
  out->seq = ReadSeq(&in);
  return Check(in, "inode");
}

Status Parse(Bytes key, NameKey* out) { return ParseNamed(key, "name", &out->parent, &out->name, &out->seq); }

Status Parse(Bytes key, EntryKey* out) {
  ByteReader in(key);
  out->parent = FileId{in.Be<uint64_t>()};
  out->entry = EntryId{in.Be<uint64_t>()};
  out->seq = ReadSeq(&in);
  return Check(in, "entry");
}

Status Parse(Bytes key, LinkKey* out) {
  ByteReader in(key);
  out->child = FileId{in.Be<uint64_t>()};
  out->parent = FileId{in.Be<uint64_t>()};
  out->entry = EntryId{in.Be<uint64_t>()};
  out->seq = ReadSeq(&in);
  return Check(in, "link");
}

Status Parse(Bytes key, XattrKey* out) { return ParseNamed(key, "xattr", &out->file, &out->name, &out->seq); }

Status ParseMoment(Bytes key, Seq* out) {
  ByteReader in(key);
  *out = Seq{in.Be<uint64_t>()};
  return Check(in, "moment");
}

Status ParseSegment(Bytes key, SegmentId* out) {
  ByteReader in(key);
  *out = SegmentId{in.Be<uint64_t>()};
  return Check(in, "segment");
}

}  // namespace dkfs::keys
