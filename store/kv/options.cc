#include "store/kv/options.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>

#include "store/kv/table_end.h"

namespace dkfs {
namespace {

static_assert(kTableChecksum == rocksdb::kXXH3);
constexpr size_t kSeqBytes = 8;

// A key without the ~Seq it ends in: all versions of one thing.
class VersionPrefix : public rocksdb::SliceTransform {
 public:
  const char* Name() const override { return "dkfs.version"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override { return {key.data(), key.size() - kSeqBytes}; }
  bool InDomain(const rocksdb::Slice& key) const override { return key.size() > kSeqBytes; }
};

// Says nothing: what goes wrong is answered as a Status, and the rest is of no use to an operator.
class NoLog : public rocksdb::Logger {
 public:
  NoLog() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

std::shared_ptr<const rocksdb::SliceTransform> SharedPrefix(Family family) {
  static const std::shared_ptr<const rocksdb::SliceTransform> version = std::make_shared<VersionPrefix>();
  static const std::shared_ptr<const rocksdb::SliceTransform> file(rocksdb::NewFixedPrefixTransform(8));
  switch (family) {
    case Family::kBlock:
    case Family::kInode:
    case Family::kName:
    case Family::kXattr:
      return version;
    case Family::kRange:
      return file;  // most files have no range at all, and every reconstructed block asks
    default:
      return nullptr;
  }
}

rocksdb::BlockBasedTableOptions TableOptions(std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.cache_index_and_filter_blocks = true;                     // so that the cache bounds their memory too (G10)
  table.pin_l0_filter_and_index_blocks_in_cache = true;           // L0 is asked by every seek
  table.cache_index_and_filter_blocks_with_high_priority = true;  // before data of a scan
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));   // 1 %: absent blocks and names are asked for often
  table.whole_key_filtering = false;                              // nobody asks for a version by its exact Seq
  table.format_version = kTableFormat;                            // these two are checked before RocksDB reads
  table.checksum = static_cast<rocksdb::ChecksumType>(kTableChecksum);  //   them (table_end.h)
  return table;
}

}  // namespace

const rocksdb::SliceTransform* PrefixOf(Family family) { return SharedPrefix(family).get(); }

std::string FamilyName(Family family) {
  static constexpr const char* kNames[kFamilies] = {
      "default", "block", "range",  "inode",   "name",   "entry",
      "link",    "xattr", "moment", "segment", "backing"};  // kMeta: the one RocksDB demands
  return kNames[static_cast<int>(family)];
}

rocksdb::DBOptions DbOptions(const KvOptions& options, rocksdb::Env* env,
                             std::shared_ptr<rocksdb::EventListener> listener) {
  rocksdb::DBOptions db;
  db.env = env;
  db.create_if_missing = options.create_if_missing;
  db.create_missing_column_families = options.create_if_missing;
  db.listeners.push_back(std::move(listener));
  db.atomic_flush = true;                         // all families of one moment, or none (X3)
  db.avoid_flush_during_shutdown = true;          // only FinishFlush makes anything durable
  db.avoid_flush_during_recovery = true;          // there is no WAL to recover; never flush unasked
  db.max_bgerror_resume_count = 0;                // RocksDB's own recovery would flush what is not synced
  db.allow_concurrent_memtable_write = false;     // one writer at a time: cheaper inserts
  db.enable_write_thread_adaptive_yield = false;  // no spinning: two cores are shared with a database
  db.max_background_jobs = 2;                     // one flush, one compaction: the index is small
  db.max_open_files = 256;                        // descriptors are bounded; tables of 32 MiB are few
  db.bytes_per_sync = 1 << 20;                    // a flush trickles out instead of delaying the journal's sync
  db.max_manifest_file_size = 4 << 20;            // opening reads it
  db.skip_stats_update_on_db_open = true;         // opening does not read every table (G4)
  db.stats_dump_period_sec = 0;                   // no timer thread
  db.stats_persist_period_sec = 0;                // no timer thread
  db.avoid_unnecessary_blocking_io = true;        // a cursor's end deletes no files in the asker's thread
  db.info_log = std::make_shared<NoLog>();
  db.info_log_level = rocksdb::InfoLogLevel::FATAL_LEVEL;
  return db;
}

rocksdb::ColumnFamilyOptions FamilyOptions(Family family, std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::ColumnFamilyOptions cf;
  cf.write_buffer_size = size_t{16} << 30;  // never full: only BeginFlush switches memtables; the caller bounds them
  cf.arena_block_size = 64 << 10;           // else derived from the size above; eleven families stay small
  cf.max_write_buffer_number = 1000;        // flushes that failed for want of space keep theirs and never stall writes
  cf.prefix_extractor = SharedPrefix(family);
  cf.table_factory.reset(rocksdb::NewBlockBasedTableFactory(TableOptions(std::move(cache))));
  cf.compression = rocksdb::kLZ4Compression;       // young tables are rewritten soon
  cf.bottommost_compression = rocksdb::kZSTD;      // where history stays
  cf.level0_file_num_compaction_trigger = 12;      // flushes are small: half of the compaction's CPU that 4 takes
  cf.level_compaction_dynamic_level_bytes = true;  // least space for the history kept
  cf.target_file_size_base = 32 << 20;             // compactions in small steps beside a database
  cf.max_bytes_for_level_base = 128 << 20;         // four such tables
  cf.level0_slowdown_writes_trigger = 200;         // writes to the index are never held back: they happen in
  cf.level0_stop_writes_trigger = 400;             //   calls of applications, and compaction has low priority
  cf.soft_pending_compaction_bytes_limit = 0;      // likewise
  cf.hard_pending_compaction_bytes_limit = 0;      // likewise
  // Blocks that are asked for are mostly there: a filter of the last level says yes, and takes the cache from the
  // blocks of the index (docs/performance.md). Names are often asked for in vain.
  cf.optimize_filters_for_hits = family == Family::kBlock;
  return cf;
}

}  // namespace dkfs
