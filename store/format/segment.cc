#include "store/format/segment.h"

#include <cstdio>
#include <cstring>

#include "store/base/hash.h"
#include "store/format/wire.h"

namespace dkfs {
namespace {

constexpr std::string_view kMagic = "dkfs-seg";
constexpr size_t kChecksumOffset = kSegmentHeaderBytes - 8;
constexpr size_t kMaxSources = 400;
constexpr size_t kIdsOffset = 104 + kMaxSources * 8;
constexpr uint64_t kKnownFeatures = 0;
constexpr size_t kIdDigits = 16;

std::string_view Suffix(SegmentKind kind) { return kind == SegmentKind::kPack ? ".pack" : ".seg"; }

Status ReadSources(ByteReader* in, SegmentHeader* out) {
  const uint32_t count = in->Le<uint32_t>();
  in->Take(4);
  if (count > kMaxSources) return Status::Corruption("segment header with too many sources");
  for (uint32_t i = 0; i < count; ++i) out->sources.emplace_back(in->Le<uint64_t>());
  return Status::Ok();
}

// Magic, version and checksum stand where they are in every version.
Status CheckFrame(Bytes data) {
  if (data.size() < kSegmentHeaderBytes) return Status::Corruption("segment header cut short");
  if (AsString(data.first(kMagic.size())) != kMagic) return Status::Corruption("not a segment");
  if (LoadLe<uint64_t>(data.data() + kChecksumOffset) != Hash64(data.first(kChecksumOffset))) {
    return Status::Corruption("segment header does not match its checksum");
  }
  if (LoadLe<uint32_t>(data.data() + kMagic.size()) > kFormatVersion) {
    return Status::Error(ENOTSUP, "segment of a newer version");
  }
  return Status::Ok();
}

void ReadUuid(ByteReader* in, Uuid* out) {
  const Bytes bytes = in->Take(out->size());
  if (in->ok()) std::memcpy(out->data(), bytes.data(), out->size());
}

}  // namespace

std::array<std::byte, kSegmentHeaderBytes> EncodeSegmentHeader(const SegmentHeader& header) {
  DKFS_CHECK(header.sources.size() <= kMaxSources);
  std::string text(kMagic);
  PutLe<uint32_t>(&text, header.version);
  PutLe<uint32_t>(&text, static_cast<uint32_t>(header.kind));
  text += AsString(header.store);
  text += AsString(header.parent);
  PutLe<uint64_t>(&text, header.id.value);
  PutLe<uint64_t>(&text, header.epoch);
  PutLe<uint64_t>(&text, header.salt);
  PutLe<uint64_t>(&text, header.first_seq.value);
  PutLe<uint64_t>(&text, header.required_features);
  PutLe<uint64_t>(&text, 0);  // features that may be ignored
  PutLe<uint32_t>(&text, static_cast<uint32_t>(header.sources.size()));
  PutLe<uint32_t>(&text, 0);
  for (const SegmentId source : header.sources) PutLe<uint64_t>(&text, source.value);
  text.resize(kIdsOffset, '\0');
  PutLe<uint64_t>(&text, header.max_file.value);
  PutLe<uint64_t>(&text, header.max_entry.value);
  PutLe<uint64_t>(&text, header.bytes);
  text.resize(kChecksumOffset, '\0');
  PutLe<uint64_t>(&text, Hash64(AsBytes(text)));
  std::array<std::byte, kSegmentHeaderBytes> out;
  std::memcpy(out.data(), text.data(), out.size());
  return out;
}

Status DecodeSegmentHeader(Bytes data, SegmentHeader* out) {
  DKFS_TRY(CheckFrame(data));
  ByteReader in(data.first(kChecksumOffset));
  in.Take(kMagic.size());
  SegmentHeader h;
  h.version = in.Le<uint32_t>();
  h.kind = static_cast<SegmentKind>(in.Le<uint32_t>());
  ReadUuid(&in, &h.store);
  ReadUuid(&in, &h.parent);
  h.id = SegmentId{in.Le<uint64_t>()};
  h.epoch = in.Le<uint64_t>();
  h.salt = in.Le<uint64_t>();
  h.first_seq = Seq{in.Le<uint64_t>()};
  h.required_features = in.Le<uint64_t>();
  in.Take(8);
  if ((h.required_features & ~kKnownFeatures) != 0) return Status::Error(ENOTSUP, "segment with unknown features");
  DKFS_TRY(ReadSources(&in, &h));
  h.max_file = FileId{LoadLe<uint64_t>(data.data() + kIdsOffset)};
  h.max_entry = EntryId{LoadLe<uint64_t>(data.data() + kIdsOffset + 8)};
  h.bytes = LoadLe<uint64_t>(data.data() + kIdsOffset + 16);
  const bool known = h.kind == SegmentKind::kJournal || h.kind == SegmentKind::kPack;
  if (h.version == 0 || !known || !h.id) return Status::Corruption("segment header out of range");
  *out = std::move(h);
  return Status::Ok();
}

std::string SegmentName(SegmentId id, SegmentKind kind) {
  char digits[kIdDigits + 1];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(id.value));
  return std::string(digits) + std::string(Suffix(kind));
}

Status ParseSegmentName(std::string_view name, SegmentId* id, SegmentKind* kind) {
  if (name.size() <= kIdDigits) return Status::Error(ENOENT);
  const std::string_view suffix = name.substr(kIdDigits);
  if (suffix != Suffix(SegmentKind::kJournal) && suffix != Suffix(SegmentKind::kPack)) return Status::Error(ENOENT);
  uint64_t value = 0;
  for (const char c : name.substr(0, kIdDigits)) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return Status::Error(ENOENT);
    value = value << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  if (value == 0) return Status::Error(ENOENT);
  *id = SegmentId{value};
  *kind = suffix == Suffix(SegmentKind::kPack) ? SegmentKind::kPack : SegmentKind::kJournal;
  return Status::Ok();
}

std::string UuidText(const Uuid& uuid) {
  std::string text;
  for (size_t i = 0; i < uuid.size(); ++i) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", static_cast<unsigned>(uuid[i]));
    text += hex;
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

}  // namespace dkfs
