// docs/format.md is the authority on the disk format. Its worked example must be what the code writes and reads.
#include <gtest/gtest.h>

#include <fstream>
#include <iomanip>
#include <sstream>

#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs {
namespace {

constexpr uint64_t kSalt = 0x1122334455667788;
constexpr FileId kFile{2};
constexpr size_t kBlockBytes = 8192;

// Puts the bytes of a line "OFFSET  xx xx ... | comment" where it says.
void PutLine(const std::string& line, std::string* out) {
  std::istringstream words(line.substr(0, line.find('|')));
  size_t at = 0;
  unsigned value = 0;
  words >> std::hex >> at;
  while (words >> std::hex >> value) {
    if (out->size() <= at) out->resize(at + 1, '\0');
    (*out)[at++] = static_cast<char>(value);
  }
}

// The bytes of the fenced block "```hex NAME"; places that no line gives are zero.
std::string FromTheDocument(const std::string& name) {
  std::ifstream in(DKFS_SOURCE_DIR "/docs/format.md");
  EXPECT_TRUE(in) << "docs/format.md is missing";
  std::string line, bytes;
  while (std::getline(in, line) && line != "```hex " + name) {
  }
  while (std::getline(in, line) && line != "```") PutLine(line, &bytes);
  return bytes;
}

std::string Hex(std::string_view bytes) {
  std::ostringstream out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % 16 == 0) out << "\n" << std::hex << std::setw(4) << std::setfill('0') << i << " ";
    out << " " << std::setw(2) << std::setfill('0') << (static_cast<unsigned>(bytes[i]) & 0xff);
  }
  return out.str();
}

void ExpectDocumented(const std::string& name, std::string_view bytes) {
  EXPECT_EQ(Hex(FromTheDocument(name)), Hex(bytes)) << "the block \"" << name << "\" of docs/format.md";
}

SegmentHeader Segment() {
  SegmentHeader header;
  for (size_t i = 0; i < header.store.size(); ++i) header.store[i] = static_cast<std::byte>(0xa0 + i);
  header.id = SegmentId{3};
  header.epoch = 2;
  header.salt = kSalt;
  header.first_seq = Seq{7};
  return header;
}

std::string BlockAfter() {
  std::string block(kBlockBytes, '\0');
  block.replace(5, 3, "abc");
  return block;
}

std::string Ranges() {
  std::string ranges;
  EXPECT_TRUE(codec::DiffRanges(AsBytes(std::string(kBlockBytes, '\0')), AsBytes(BlockAfter()), kBlockBytes, &ranges));
  return ranges;
}

BlockVersion Version() {
  return {BlockKind::kDelta, 1, static_cast<uint32_t>(Ranges().size()), Hash64(AsBytes(BlockAfter())), Seq{}};
}

InodeState Inode() {
  InodeState state;
  state.mode = 0100644;
  state.uid = state.gid = 1000;
  state.nlink = 1;
  state.size = 8;
  state.atime = state.mtime = state.ctime = state.btime = {1767323045, 678};
  return state;
}

std::string Body() {
  std::string body;
  EncodeItem({Seq{}, InodeItem{kFile, Inode()}, 0, {}}, &body);
  EncodeItem({Seq{}, NameItem{kRootFile, kFirstEntry, "a", kFile, 8}, 0, {}}, &body);
  const std::string ranges = Ranges();
  EncodeItem({Seq{}, BlocksItem{kFile, LayoutId{1}, 13, 0, {Version()}}, 0, AsBytes(ranges)}, &body);
  return body;
}

std::string Record() {
  const std::string body = Body();
  RecordHeader header;
  header.stored_bytes = header.body_bytes = static_cast<uint32_t>(body.size());
  header.length = static_cast<uint32_t>(kRecordHeaderBytes + body.size());
  header.item_count = 3;
  header.body_checksum = Hash64(AsBytes(body));
  header.seq = Seq{7};
  header.synced = Seq{5};
  header.time = {1767323045, 678};
  return std::string(AsString(EncodeRecordHeader(header, kSalt))) + body;
}

TEST(FormatDocumentTest, SegmentHeaderIsAsWritten) {
  ExpectDocumented("segment", AsString(EncodeSegmentHeader(Segment())));
}

TEST(FormatDocumentTest, RecordIsAsWritten) { ExpectDocumented("record", Record()); }

TEST(FormatDocumentTest, IndexRowsAreAsWritten) {
  ExpectDocumented("block-key", keys::Block(kFile, LayoutId{1}, 0, Seq{7}));
  std::vector<Item> items;
  const std::string body = Body();
  ASSERT_TRUE(DecodeItems(AsBytes(body), &items).ok());
  const auto offset = static_cast<uint32_t>(kSegmentHeaderBytes + kRecordHeaderBytes + items.back().payload_offset);
  ExpectDocumented("block-value", values::Encode(BlockEntry{Version(), {SegmentId{3}, 0, offset}}));
  ExpectDocumented("name-key", keys::Name(kRootFile, "a", Seq{7}));
  ExpectDocumented("name-value", values::Encode(NameValue{kFile, kFirstEntry, 8}));
}

TEST(FormatDocumentTest, ItsRecordDecodesToTheBlockItDescribes) {
  const std::string record = FromTheDocument("record");
  SegmentHeader segment;
  RecordHeader header;
  ASSERT_TRUE(DecodeSegmentHeader(AsBytes(FromTheDocument("segment")), &segment).ok());
  ASSERT_TRUE(DecodeRecordHeader(AsBytes(record), segment.salt, &header).ok());
  const Bytes body = AsBytes(record).subspan(kRecordHeaderBytes);
  ASSERT_TRUE(CheckRecordBody(header, body).ok());
  std::vector<Item> items;
  ASSERT_TRUE(DecodeItems(body, &items).ok());
  ASSERT_EQ(items.size(), header.item_count);
  EXPECT_EQ(std::get<InodeItem>(items[0].body).state, Inode());
  std::string block(kBlockBytes, '\0');
  ASSERT_TRUE(codec::PatchRanges(items[2].payload, {reinterpret_cast<std::byte*>(block.data()), block.size()}).ok());
  EXPECT_EQ(block, BlockAfter());
  EXPECT_EQ(std::get<BlocksItem>(items[2].body).versions[0].checksum, Hash64(AsBytes(block)));
}

}  // namespace
}  // namespace dkfs
