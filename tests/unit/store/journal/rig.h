// What the journal's tests share: a journal in a fresh directory, and a plain model of what it holds.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "store/base/fault.h"
#include "store/base/hash.h"
#include "store/base/log.h"
#include "store/journal/journal.h"
#include "store/journal/segment_scan.h"

namespace dkfs::journal_testing {

inline constexpr Uuid kUuid = {std::byte{7}, std::byte{1}};
namespace fs = std::filesystem;

inline std::string FreshDir(const std::string& name) {
  const std::string path = testing::TempDir() + "journal_" + name + "_" + std::to_string(::getpid());
  fs::remove_all(path);
  return path;
}

struct Written {
  Appended at;
  std::string body;
  Seq synced;  // when it was appended
  uint16_t flags = 0;
};

// All records ever appended and still expected, Seq n at [n - 1].
using Model = std::vector<Written>;

inline ino_t InodeOf(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st.st_ino;
}

inline std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Rig {
  explicit Rig(std::string p) : path(std::move(p)) {
    options.segment_bytes = 1 << 20;
    options.reserve_bytes = 256 << 10;
  }
  ~Rig() {
    Fault::Arm("").Ignore("disarming never fails");
    journal.reset();
    fs::remove_all(path);
  }

  // Opens and checks what is replayed against the model, which must reach to `from` at least.
  Status Open(JournalPosition from = {}) {
    journal.reset();
    std::vector<std::string> replayed;
    Seq expected(from.last.value + 1);
    auto opened =
        Journal::Open(path, kUuid, from, options, [&](const RecordHeader& header, const Appended& at, Bytes body) {
          EXPECT_EQ(header.seq, expected);
          EXPECT_EQ(at.seq, expected);
          if (at.seq.value <= model.size()) {
            const Written& w = model[at.seq.value - 1];
            EXPECT_EQ(at.segment, w.at.segment);
            EXPECT_EQ(at.offset, w.at.offset);
            EXPECT_EQ(at.length, w.at.length);
            EXPECT_TRUE(AsString(body) == w.body) << "Seq " << at.seq.value;
            EXPECT_EQ(header.flags, w.flags);
            EXPECT_EQ(header.body_bytes, w.flags == 0 ? w.body.size() : 3 * w.body.size());
            EXPECT_EQ(at.compressed, w.flags != 0);
          }
          expected = Seq(expected.value + 1);
          return Status::Ok();
        });
    if (!opened.ok()) return opened.status();
    journal = std::move(opened).value();
    EXPECT_EQ(journal->appended().value + 1, expected.value);
    EXPECT_EQ(journal->synced(), journal->appended());
    EXPECT_LE(journal->appended().value, model.size());
    model.resize(std::min<size_t>(model.size(), journal->appended().value));
    return Status::Ok();
  }

  Status Append(const std::string& body, bool urgent = false) {
    const size_t half = body.size() / 2;
    char* data = const_cast<char*>(body.data());
    const struct iovec parts[2] = {{data, half}, {data + half, body.size() - half}};
    const Seq synced = journal->synced();
    // The journal takes a compressed body for what it is said to be.
    const uint16_t flags = model.size() % 3 == 1 ? kRecordLz4 : 0;
    auto at = journal->Append({.parts = parts,
                               .count = 2,
                               .bytes = static_cast<uint32_t>(body.size()),
                               .items = 1,
                               .checksum = Hash64(AsBytes(body)),
                               .flags = flags,
                               .expanded_bytes = static_cast<uint32_t>(3 * body.size())},
                              0, urgent, nullptr);
    if (at.ok()) model.push_back({*at, body, synced, flags});
    return at.status();
  }

  // Until a record stands in the next segment.
  void FillSegment() {
    ASSERT_TRUE(Append(std::string(60000, 'f')).ok());
    const SegmentId now = model.back().at.segment;
    while (model.back().at.segment == now) ASSERT_TRUE(Append(std::string(60000, 'f')).ok());
  }

  // Deletes the sealed segments of which all is synced, as after packing; their files may be used again. What they held
  // is remembered: loss of power may bring it back where a new write was lost.
  void DeleteKeepingFiles() {
    for (const SegmentInfo& s : journal->SealedSegments()) {
      if (!s.last || s.last > journal->synced()) continue;
      std::string bytes = ReadWhole(File(s.id));
      bytes.resize(options.segment_bytes);
      former[InodeOf(File(s.id))] = std::move(bytes);
      ASSERT_TRUE(journal->Delete(s.id, true).ok());
      floor = std::max(floor, s.last);
    }
  }
  // What stood in the segment's file in its former life; null when it had none.
  const std::string* FormerOf(SegmentId id) const {
    const auto it = former.find(InodeOf(File(id)));
    return it == former.end() ? nullptr : &it->second;
  }

  std::string File(SegmentId id) const { return path + "/" + SegmentName(id, SegmentKind::kJournal); }

  std::string path;
  JournalOptions options;
  std::unique_ptr<Journal> journal;
  Model model;
  Seq floor;  // the records up to it are deleted: recovery begins behind
  std::map<ino_t, std::string> former;
};

inline std::string RandomBody(std::mt19937_64& random, size_t limit) {
  std::string body(random() % limit, '\0');
  for (size_t i = 0; i + 8 <= body.size(); i += 8) {
    const uint64_t v = random() % 3 == 0 ? 0 : random();
    std::memcpy(body.data() + i, &v, 8);
  }
  return body;
}

}  // namespace dkfs::journal_testing
