// What stands behind the classes of kv.h.
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/db.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "store/kv/convert.h"
#include "store/kv/file_system.h"
#include "store/kv/flush_gate.h"
#include "store/kv/kv.h"

namespace dkfs {

// Cursors of RocksDB 7.8 that look at range deletions take a table that cannot be read for an empty one, without an
// error (G6). So they do not look, and may meet what KvBatch::DeleteRange took away.
inline constexpr bool kIgnoreRangeDeletions = true;

struct KvBatch::Rep {
  rocksdb::WriteBatch batch;
};

struct Kv::Rep {
  std::shared_ptr<StoreFileSystem> fs;
  std::unique_ptr<rocksdb::Env> env;
  std::shared_ptr<FlushGate> gate = std::make_shared<FlushGate>();
  std::shared_ptr<rocksdb::Cache> cache;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  std::string path;
  std::atomic<uint64_t> flushes{0};  // begun, in the life of these files
  std::future<void> dropping;        // see DropTables

  rocksdb::ColumnFamilyHandle* Of(Family family) const { return families[static_cast<int>(family)]; }
  uint64_t Sum(const std::string& property) const {
    uint64_t value = 0;
    return db->GetAggregatedIntProperty(property, &value) ? value : 0;
  }
  // Why flushing ended for good, or Ok; the file system knows more than RocksDB's answer.
  Status Sticky() const {
    Status failure = gate->failure();
    return failure.code() == EIO && fs->error() != 0 ? Status::Error(fs->error(), std::string(failure.context()))
                                                     : failure;
  }
  bool InFlight() const { return Sum(rocksdb::DB::Properties::kNumImmutableMemTable) != 0; }
};

}  // namespace dkfs
