#include "store/kv/kv.h"

#include <fcntl.h>
#include <rocksdb/convenience.h>
#include <rocksdb/experimental.h>
#include <rocksdb/slice_transform.h>
#include <unistd.h>

#include <charconv>
#include <system_error>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/fault.h"
#include "store/base/file.h"
#include "store/base/scheduling.h"
#include "store/kv/options.h"
#include "store/kv/rep.h"

namespace dkfs {
namespace {

constexpr off_t kLargestText = 4096;  // CURRENT and IDENTITY hold a line

// A directory whose CURRENT is gone would pass for a new one; and RocksDB would wait for the other end of a fifo, and
// read a small file into memory whatever its size.
Status RefuseStrange(const std::string& path) {
  DKFS_TRY_ASSIGN(std::vector<std::string> names, file::ListDir(AT_FDCWD, path));
  bool tables = false, current = false;
  for (const std::string& name : names) {
    current |= name == "CURRENT";
    tables |= name.ends_with(".sst");
    Result<struct stat> stat = file::Stat(AT_FDCWD, path + "/" + name);
    if (!stat.ok() || !S_ISREG(stat->st_mode)) return Status::Corruption("index " + path + "/" + name + ": not a file");
    if ((name == "CURRENT" || name == "IDENTITY") && stat->st_size > kLargestText) {
      return Status::Corruption("index " + path + "/" + name + ": too large");
    }
  }
  return tables && !current ? Status::Corruption("index " + path + ": CURRENT is missing") : Status::Ok();
}

// Nothing that opening finds wrong with the files is the caller's mistake, whatever RocksDB calls it.
Status OpenError(const rocksdb::Status& status, const std::string& path) {
  Status error = FromRocks(status, "open " + path);
  if (error.IsNotFound() || error.code() == EINVAL)
    return Status::Corruption("index: open " + path + ": " + std::string(error.context()));
  return error;
}

// RocksDB takes a MANIFEST that was cut short for one whose last changes never happened. So each flush counts itself,
// in the database and, once that is durable, in a file beside it: the database must never know of fewer.
constexpr std::string_view kFlushesKey = "kv.flushes";
constexpr const char* kFlushesFile = "/FLUSHES";

Status MarkFlushed(const std::string& path, uint64_t flushes) {
  return file::ReplaceDurably(AT_FDCWD, path + kFlushesFile, std::to_string(flushes) + "\n");
}

Result<uint64_t> MarkedFlushes(const std::string& path) {
  Result<std::string> text = file::ReadAll(AT_FDCWD, path + kFlushesFile);
  if (!text.ok()) return text.status().IsNotFound() ? Result<uint64_t>(0) : Result<uint64_t>(text.status());
  uint64_t flushes = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), flushes);
  if (error != std::errc() || *end != '\n') return Status::Corruption("index " + path + kFlushesFile);
  return flushes;
}

Status NoSpace() { return Status::Error(ENOSPC, "index: flush waits for space"); }

void LowerPriorities(rocksdb::Env* env) {
  env->LowerThreadPoolIOPriority(rocksdb::Env::LOW);  // compaction may wait; a flush may not: the tail's limit needs it
  env->LowerThreadPoolCPUPriority(rocksdb::Env::LOW, rocksdb::CpuPriority::kLow).PermitUncheckedError();  // a wish only
}

}  // namespace

std::string PrefixEnd(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && static_cast<uint8_t>(end.back()) == 0xff) end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(static_cast<uint8_t>(end.back()) + 1);
  return end;
}

Result<std::unique_ptr<Kv>> Kv::Open(const std::string& path, const KvOptions& options) {
  if (options.create_if_missing) DKFS_TRY(file::MakeDirs(path));
  DKFS_TRY(RefuseStrange(path));
  auto rep = std::make_unique<Rep>();
  rep->fs = std::make_shared<StoreFileSystem>(rocksdb::FileSystem::Default());
  rep->env = rocksdb::NewCompositeEnv(rep->fs);
  rep->cache = rocksdb::NewLRUCache(options.block_cache_bytes, 2);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (int i = 0; i < kFamilies; ++i) {
    Family family = static_cast<Family>(i);
    families.emplace_back(FamilyName(family), FamilyOptions(family, rep->cache));
  }
  rocksdb::DB* db = nullptr;
  rocksdb::Status status =
      rocksdb::DB::Open(DbOptions(options, rep->env.get(), rep->gate), path, families, &rep->families, &db);
  if (!status.ok()) {
    Status error = OpenError(status, path);
    int code = rep->fs->error();
    return code != 0 ? Status::Error(code, std::string(error.context())) : error;
  }
  rep->db.reset(db);
  for (int i = 0; i < kFamilies; ++i) {
    if (rep->families[i]->GetID() != static_cast<uint32_t>(i))
      return Status::Corruption("index " + path + ": families");
  }
  LowerPriorities(rep->env.get());
  rep->path = path;
  std::unique_ptr<Kv> kv(new Kv(std::move(rep)));
  DKFS_TRY(kv->LoadFlushes());
  return kv;
}

Status Kv::LoadFlushes() {
  DKFS_TRY_ASSIGN(uint64_t marked, MarkedFlushes(rep_->path));
  Result<std::string> row = Get(Family::kMeta, kFlushesKey);
  if (!row.ok() && !row.status().IsNotFound()) return row.status();
  uint64_t flushes = row.ok() && row->size() == 8 ? LoadBe<uint64_t>(row->data()) : 0;
  if (flushes < marked) return Status::Corruption("index " + rep_->path + ": MANIFEST misses the last flushes");
  rep_->flushes = flushes;
  rep_->fs->WaitForSpaceFromNowOn([gate = rep_->gate.get()] { gate->Wake(); });
  return Status::Ok();
}

Kv::Kv(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}

Kv::~Kv() {
  rep_->fs->Refuse();
  rocksdb::CancelAllBackgroundWork(rep_->db.get(), /*wait=*/false);
  rep_->gate->Open();
  if (rep_->dropping.valid()) rep_->dropping.wait();
  for (rocksdb::ColumnFamilyHandle* family : rep_->families) {
    rep_->db->DestroyColumnFamilyHandle(family).PermitUncheckedError();  // nothing is left to be done with it
  }
}

Status Kv::Write(KvBatch* batch) {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  return FromRocks(rep_->db->Write(options, &batch->rep_->batch), "write");
}

Result<std::string> Kv::Get(Family family, std::string_view key) const {
  std::string value;
  rocksdb::Status status = rep_->db->Get(rocksdb::ReadOptions(), rep_->Of(family), ToSlice(key), &value);
  if (!status.ok()) return FromRocks(status, "get");
  return value;
}

Status Kv::SeekPrefix(Family family, std::string_view key, std::string_view prefix, std::string* found_key,
                      std::string* value) const {
  const rocksdb::SliceTransform* transform = PrefixOf(family);
  rocksdb::ReadOptions options;
  options.ignore_range_deletions = kIgnoreRangeDeletions;
  std::string end;
  rocksdb::Slice end_slice;
  if (transform != nullptr && transform->InDomain(ToSlice(key)) &&
      transform->Transform(ToSlice(key)) == ToSlice(prefix)) {
    options.prefix_same_as_start = true;  // asks the bloom filters
  } else {
    options.total_order_seek = true;
    end = PrefixEnd(prefix);
    end_slice = end;
    if (!end.empty()) options.iterate_upper_bound = &end_slice;
  }
  std::unique_ptr<rocksdb::Iterator> iterator(rep_->db->NewIterator(options, rep_->Of(family)));
  iterator->Seek(ToSlice(key));
  if (!iterator->Valid()) {
    rocksdb::Status status = iterator->status();
    return status.ok() ? Status::Error(ENOENT) : FromRocks(status, "seek");
  }
  if (!iterator->key().starts_with(ToSlice(prefix))) return Status::Error(ENOENT);
  found_key->assign(ToView(iterator->key()));
  value->assign(ToView(iterator->value()));
  return Status::Ok();
}

Status Kv::BeginFlush() {
  DKFS_TRY(rep_->Sticky());
  DKFS_TRY(Fault::Pass("kv.flush"));
  if (rep_->InFlight()) return NoSpace();
  KvBatch batch;
  std::string flushes;
  PutBe(&flushes, rep_->flushes + 1);
  batch.Put(Family::kMeta, kFlushesKey, flushes);
  DKFS_TRY(Write(&batch));
  ++rep_->flushes;
  rep_->gate->Close();
  rocksdb::FlushOptions options;
  options.wait = false;
  options.allow_write_stall = true;  // returns after the switch
  return FromRocks(rep_->db->Flush(options, rep_->families), "begin flush");
}

Status Kv::FinishFlush() {
  rep_->fs->TryAgain();
  rep_->gate->Open();
  for (;;) {
    uint64_t seen = rep_->gate->events();
    DKFS_TRY(rep_->Sticky());
    if (!rep_->InFlight()) return MarkFlushed(rep_->path, rep_->flushes);
    if (rep_->fs->stalled()) return NoSpace();
    rep_->gate->WaitBeyond(seen);
  }
}

void Kv::TryAgain() {
  if (rep_->fs->stalled()) rep_->fs->TryAgain();
}

Status Kv::error() const {
  DKFS_TRY(rep_->Sticky());
  return rep_->fs->stalled() ? NoSpace() : rep_->gate->compaction_failure();
}

Status Kv::CheckTables() const {
  DKFS_TRY(FromRocks(rep_->db->VerifyChecksum(), "check tables"));
  for (int i = 0; i < kFamilies; ++i) {  // a whole table of another index has checksums too
    KvCursor cursor = NewCursor(static_cast<Family>(i));
    for (cursor.SeekToFirst(); cursor.Valid();) cursor.Next();
    DKFS_TRY(cursor.status());
  }
  return Status::Ok();
}

uint64_t Kv::MemoryBytes() const { return rep_->Sum(rocksdb::DB::Properties::kCurSizeAllMemTables); }
uint64_t Kv::DiskBytes() const { return rep_->Sum(rocksdb::DB::Properties::kTotalSstFilesSize); }

Status Kv::CompactRange(Family family, std::string_view begin, std::string_view end) {
  // DB::CompactRange would flush memtables first.
  const rocksdb::Slice from = ToSlice(begin), to = ToSlice(end);
  return FromRocks(rocksdb::experimental::SuggestCompactRange(
                       rep_->db.get(), rep_->Of(family), begin.empty() ? nullptr : &from, end.empty() ? nullptr : &to),
                   "compact");
}

bool Kv::Compacting() const {
  return rep_->Sum(rocksdb::DB::Properties::kCompactionPending) +
             rep_->Sum(rocksdb::DB::Properties::kNumRunningCompactions) >
         0;
}

void Kv::DropTables(Family family, std::string_view end) {
  if (Dropping()) return;
  const auto drop = [rep = rep_.get(), family, end = std::string(end)] {
    ScheduleWhenIdle(::gettid(), false);  // it holds locks of RocksDB; whoever asked may be one that gives way
    const rocksdb::Slice to(end);
    rocksdb::DeleteFilesInRange(rep->db.get(), rep->Of(family), nullptr, &to, /*include_end=*/false)
        .PermitUncheckedError();  // they go another time
  };
  try {
    rep_->dropping = std::async(std::launch::async, drop);
  } catch (const std::system_error&) {  // no thread can be had: another time
  }
}

bool Kv::Dropping() const {
  return rep_->dropping.valid() && rep_->dropping.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

}  // namespace dkfs
