// A store without the facade: kv, index, journal, reader, reconstructor, retainer over one directory, with a clock that
// tests move. Opening again after Drop() is what a kill of the process leaves behind.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/uio.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/retain/records.h"
#include "store/retain/retainer.h"
#include "tests/support/temp_dir.h"

namespace dkfs::retain_test {

#define ASSERT_OK(expr)                                          \
  do {                                                           \
    const ::dkfs::Status assert_status = (expr);                 \
    ASSERT_TRUE(assert_status.ok()) << assert_status.ToString(); \
  } while (0)

// The value, or a test failure and a default.
template <class T>
T Value(Result<T> result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return result.ok() ? std::move(result).value() : T{};
}

struct FakeTime {
  uint64_t ns = 1'000'000'000;
  void Pass(std::chrono::seconds s) { ns += static_cast<uint64_t>(s.count()) * 1'000'000'000; }
  Clock clock() {
    Clock c;
    c.wall = [this] {
      return TimeSpec{static_cast<int64_t>(1'700'000'000 + ns / 1'000'000'000),
                      static_cast<uint32_t>(ns % 1'000'000'000)};
    };
    c.monotonic_ns = [this] { return ns; };
    return c;
  }
};

class Rig {
 public:
  explicit Rig(std::string path, FakeTime* time, RetainOptions options = {})
      : path_(std::move(path)), time_(time), options_(options) {
    options_.clock = time->clock();
  }

  Status Open(bool rebuild = false) {
    if (rebuild) DKFS_TRY(file::RemoveTree(AT_FDCWD, path_ + "/index"));
    DKFS_TRY(file::MakeDirs(path_));
    KvOptions kv_options;
    DKFS_TRY_ASSIGN(kv, Kv::Open(path_ + "/index", kv_options));
    index = std::make_unique<Index>(kv.get(), journal_path());
    DKFS_TRY(index->Load());
    JournalPosition from = index->recovered();
    if (rebuild) DKFS_TRY(FeedPacks(&from.last));
    if (rebuild) DKFS_TRY(FeedJournal(&from));
    JournalOptions journal_options;
    journal_options.segment_bytes = 1 << 20;
    journal_options.reserve_bytes = 1 << 20;
    journal_options.clock = time_->clock();
    const auto replay = [this](const RecordHeader&, const Appended& at, Bytes body) -> Status {
      std::vector<Item> items;
      DKFS_TRY(DecodeItems(body, &items));
      index->Enqueue(at, std::move(items));
      return Status::Ok();
    };
    DKFS_TRY_ASSIGN(journal, Journal::Open(journal_path(), uuid, from, journal_options, replay));
    DKFS_TRY(index->ApplyAll());
    reader = std::make_unique<SegmentReader>(journal_path());
    reconstructor = std::make_unique<Reconstructor>(index.get(), reader.get());
    retainer = std::make_unique<Retainer>(journal_path(), uuid, index.get(), journal.get(), reader.get(),
                                          reconstructor.get(), options_);
    return retainer->Load();
  }

  // As a kill would: nothing is synced or flushed.
  void Drop() {
    retainer.reset();
    reconstructor.reset();
    reader.reset();
    journal.reset();
    index.reset();
    kv.reset();
  }

  Seq Append(const std::vector<Item>& items) {
    std::string body;
    for (const Item& item : items) EncodeItem(item, &body);
    struct iovec part {
      body.data(), body.size()
    };
    Journal::Body b{&part, 1, static_cast<uint32_t>(body.size()), static_cast<uint32_t>(items.size()),
                    Hash64(AsBytes(body))};
    std::vector<Item> decoded;
    const Status status = DecodeItems(AsBytes(body), &decoded);
    EXPECT_TRUE(status.ok()) << status.ToString();
    Result<Appended> at = journal->Append(b, 0, false, [&](const Appended& a) { index->Enqueue(a, decoded); });
    return Value(std::move(at)).seq;
  }
  Seq next() const { return Seq{journal->appended().value + 1}; }

  // Seals, lets everything settle, and works until there is nothing to do.
  void Settle() {
    ASSERT_OK(journal->Seal());
    retainer->Tick();
    time_->Pass(std::chrono::seconds(5));
    for (int i = 0; i < 1000;) {
      const bool comes = kv->Dropping() || kv->Compacting();  // history waits for that
      Result<bool> did = retainer->Step();
      ASSERT_TRUE(did.ok()) << did.status().ToString();
      if (!*did && !comes) return;
      if (*did) ++i;
      if (!*did) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL() << "retention does not come to an end";
  }

  std::string journal_path() const { return path_ + "/journal"; }
  uint64_t PackBytes() const { return retainer->stats().pack_bytes; }
  std::vector<std::string> Files(std::string_view ending) const {
    std::vector<std::string> found;
    for (const std::string& name : Value(file::ListDir(AT_FDCWD, journal_path()))) {
      if (name.ends_with(ending)) found.push_back(name);
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  Uuid uuid{std::byte{7}};
  std::unique_ptr<Kv> kv;
  std::unique_ptr<Index> index;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<SegmentReader> reader;
  std::unique_ptr<Reconstructor> reconstructor;
  std::unique_ptr<Retainer> retainer;

 private:
  // Packs in order of their ids: a later one may hold folded forms of what an earlier one has.
  Status FeedPacks(Seq* last) {
    Seq horizon;
    for (const std::string& name : Files(".pack")) {
      SegmentId id;
      SegmentKind kind;
      DKFS_TRY(ParseSegmentName(name, &id, &kind));
      DKFS_TRY_ASSIGN(retain::Records records, retain::Records::Open(journal_path(), id, kind));
      SegmentValue value{static_cast<uint32_t>(kind), records.header().first_seq, {}, 0};
      for (;;) {
        retain::Records::Record record;
        DKFS_TRY_ASSIGN(bool more, records.Next(&record));
        if (!more) break;
        for (const Item& item : record.items) {
          const auto* moments = std::get_if<MomentsItem>(&item.body);
          if (moments == nullptr) continue;
          if (moments->times.empty()) horizon = std::max(horizon, moments->first);
          *last = std::max(*last, Seq{moments->first.value + moments->times.size() - 1});
        }
        value.last = std::max(value.last, record.header.seq);
        index->Enqueue({record.header.seq, id, record.offset, record.header.length, record.header.time, kind},
                       record.items);
        DKFS_TRY(index->ApplyAll());
      }
      value.bytes = static_cast<uint64_t>(Value(file::Stat(AT_FDCWD, journal_path() + "/" + name)).st_size);
      KvBatch batch;
      batch.Put(Family::kSegment, keys::Segment(id), values::Encode(value));
      DKFS_TRY(index->Write(&batch));
    }
    KvBatch batch;
    std::string row;
    PutLe(&row, horizon.value);
    batch.Put(Family::kMeta, "retain/horizon", row);
    return index->Write(&batch);
  }

  Status FeedJournal(JournalPosition* from) {
    for (const std::string& name : Files(".seg")) {
      SegmentId id;
      SegmentKind kind;
      DKFS_TRY(ParseSegmentName(name, &id, &kind));
      Result<retain::Records> records = retain::Records::Open(journal_path(), id, kind);
      if (records.status().IsCorruption()) continue;  // a spare one
      if (!records.ok()) return records.status();
      for (;;) {
        retain::Records::Record r;
        DKFS_TRY_ASSIGN(bool more, records->Next(&r));
        if (!more) break;
        index->Enqueue({r.header.seq, id, r.offset, r.header.length, r.header.time, kind}, r.items);
        DKFS_TRY(index->ApplyAll());
        if (r.header.seq > from->last) *from = {r.header.seq, id, uint64_t{r.offset} + r.header.length};
      }
    }
    return Status::Ok();
  }

  const std::string path_;
  FakeTime* const time_;
  RetainOptions options_;
};

inline std::string FreshDir(const std::string& name) {
  static const test::TempDir all;  // gone when the program ends
  const std::string path = all / name;
  EXPECT_TRUE(file::RemoveTree(AT_FDCWD, path).ok());
  return path;
}

}  // namespace dkfs::retain_test
