// An index with a journal made of one real segment file, written by the test itself, that can lose its tail.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/codec/codec.h"
#include "store/format/record.h"
#include "store/format/segment.h"
#include "store/index/index.h"

namespace dkfs {

inline constexpr uint64_t kSalt = 0x1234567;

struct Written {
  Appended at;
  std::string body;
};

class Rig {
 public:
  explicit Rig(const std::string& name) : path_(testing::TempDir() + "dkfs_index_" + name + std::to_string(getpid())) {
    EXPECT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
    EXPECT_TRUE(file::MakeDirs(path_ + "/journal").ok());
    SegmentHeader header;
    header.id = SegmentId{1};
    header.salt = kSalt;
    auto fd =
        file::Open(AT_FDCWD, path_ + "/journal/" + SegmentName(header.id, SegmentKind::kJournal), O_RDWR | O_CREAT);
    EXPECT_TRUE(fd.ok());
    segment_ = std::move(fd).value();
    EXPECT_TRUE(file::WriteAt(segment_.get(), EncodeSegmentHeader(header), 0, "segment").ok());
    Open();
  }
  ~Rig() {
    index.reset();
    kv.reset();
    EXPECT_TRUE(file::RemoveTree(AT_FDCWD, path_).ok());
  }

  void Open() {
    index.reset();
    kv.reset();
    auto opened = Kv::Open(path_ + "/index", KvOptions{});
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    kv = std::move(opened).value();
    index = std::make_unique<Index>(kv.get(), path_ + "/journal");
    Status s = index->Load();
    ASSERT_TRUE(s.ok()) << s.ToString();
  }

  // The process dies and only the first `keep` records are left of the journal; opens and replays the tail.
  void Crash(size_t keep) {
    index.reset();
    kv.reset();
    journal.resize(keep);
    Open();
    const Seq last = index->recovered().last;
    ASSERT_LE(last.value, keep);  // X2
    if (last) {
      EXPECT_EQ(index->recovered().offset, journal[last.value - 1].at.offset + journal[last.value - 1].at.length);
    }
    for (size_t i = last.value; i < keep; ++i) Enqueue(journal[i]);
  }

  static std::string Encode(const std::vector<Item>& items, const std::vector<std::string>& payloads) {
    std::string body;
    for (size_t i = 0; i < items.size(); ++i) {
      const auto* blocks = std::get_if<BlocksItem>(&items[i].body);
      if (blocks == nullptr) {
        EncodeItem(items[i], &body);
        continue;
      }
      const std::string payload = i < payloads.size() ? payloads[i] : "";
      EncodeBlocksHeader(items[i].as_of, *blocks, static_cast<uint32_t>(payload.size()), &body);
      body += payload;
      body.append(ItemPadding(payload.size()), '\0');
    }
    return body;
  }

  // Appends to the segment file and enqueues, as the store does.
  Seq Append(const std::vector<Item>& items, TimeSpec time = {}, const std::vector<std::string>& payloads = {},
             bool compressed = false) {
    Written record;
    record.body = Encode(items, payloads);
    record.at.seq = Seq{journal.size() + 1};
    record.at.segment = SegmentId{1};
    record.at.offset = journal.empty() ? kSegmentHeaderBytes : journal.back().at.offset + journal.back().at.length;
    std::string stored = record.body;
    if (compressed) {
      const MutableBytes room{reinterpret_cast<std::byte*>(stored.data()), stored.size()};
      stored.resize(codec::CompressFast(AsBytes(record.body), room));
      EXPECT_GT(stored.size(), 0u);
    }
    record.at.length = static_cast<uint32_t>(RoundUp(kRecordHeaderBytes + stored.size(), 8));
    record.at.time = time;
    record.at.compressed = compressed;
    RecordHeader header;
    header.length = record.at.length;
    header.stored_bytes = static_cast<uint32_t>(stored.size());
    header.body_bytes = static_cast<uint32_t>(record.body.size());
    header.flags = compressed ? kRecordLz4 : 0;
    header.item_count = static_cast<uint32_t>(items.size());
    header.body_checksum = Hash64(AsBytes(stored));
    header.seq = record.at.seq;
    header.time = time;
    EXPECT_TRUE(file::WriteAt(segment_.get(), EncodeRecordHeader(header, kSalt), record.at.offset, "segment").ok());
    EXPECT_TRUE(file::WriteAt(segment_.get(), AsBytes(stored), record.at.offset + kRecordHeaderBytes, "segment").ok());
    journal.push_back(record);
    Enqueue(record);
    return record.at.seq;
  }

  void Enqueue(const Written& record) {
    std::vector<Item> items;
    Status s = DecodeItems(AsBytes(record.body), &items);
    ASSERT_TRUE(s.ok()) << s.ToString();
    index->Enqueue(record.at, std::move(items));
  }

  // Flushes; the journal's sync covers exactly what is asked for.
  Status Flush() {
    return index->Flush([this](Seq seq) {
      synced = std::max(synced, seq);
      return Status::Ok();
    });
  }

  std::string segment_path() const { return path_ + "/journal/" + SegmentName(SegmentId{1}, SegmentKind::kJournal); }

  std::unique_ptr<Kv> kv;
  std::unique_ptr<Index> index;
  std::vector<Written> journal;  // [i] has Seq i + 1
  Seq synced;

 private:
  std::string path_;
  UniqueFd segment_;
};

template <class Body>
Item Make(Body body, Seq as_of = {}) {
  return Item{as_of, std::move(body), 0, {}};
}
inline Item Inode(FileId file, uint64_t size) {
  InodeState state;
  state.mode = 0100644;
  state.nlink = 1;
  state.size = size;
  return Make(InodeItem{file, state});
}
inline Item InodeGone(FileId file) { return Make(InodeItem{file, {}}); }
inline Item Hole(FileId file, LayoutId layout, uint64_t block, uint64_t checksum, Seq as_of = {}) {
  BlockVersion version;
  version.checksum = checksum;
  return Make(BlocksItem{file, layout, kDefaultBlockShift, block, {version}}, as_of);
}

}  // namespace dkfs
