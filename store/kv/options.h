// Every RocksDB option that is not left at its default, each with its reason.
#pragma once

#include <rocksdb/options.h>

#include "store/kv/kv.h"

namespace dkfs {

rocksdb::DBOptions DbOptions(const KvOptions& options, rocksdb::Env* env,
                             std::shared_ptr<rocksdb::EventListener> listener);
rocksdb::ColumnFamilyOptions FamilyOptions(Family family, std::shared_ptr<rocksdb::Cache> cache);
// What a seek within the versions of one thing may skip tables by; null for families that have none.
const rocksdb::SliceTransform* PrefixOf(Family family);
std::string FamilyName(Family family);

}  // namespace dkfs
