#include "store/verify/verify.h"

#include <algorithm>

#include "store/verify/checker.h"

namespace dkfs {
namespace verify {

std::string Checker::Name(FileId file, Seq at) const {
  Result<std::string> path = store_->PathOf(file, std::max(at, oldest()));
  const std::string name = path.ok() && !path->empty() ? "'" + *path + "'" : "file " + std::to_string(file.value);
  return name + " as of seq " + std::to_string(at.value);
}

Status Checker::Tables() {
  const Status checked = parts_.index->kv()->CheckTables();
  if (!checked.IsCorruption()) return checked;
  Damage(store_->path() + "/index: " + checked.ToString());
  return Status::Ok();
}

}  // namespace verify

Status Verify(const std::string& path, const VerifyOptions& options, VerifyResult* result) {
  *result = {};
  StoreOptions store_options;
  store_options.mode = StoreOptions::Mode::kReadOnly;
  DKFS_TRY_ASSIGN(std::unique_ptr<Store> store, Store::Open(path, store_options));
  verify::Checker checker(store.get(), options, result);
  const Store::Parts& parts = *store->parts();
  if (!parts.index_error.ok()) checker.Damage(parts.index_error.ToString());
  if (!parts.damage.ok()) checker.Damage(parts.damage.ToString());
  if (parts.index_error.ok()) DKFS_TRY(checker.Tables());
  DKFS_TRY(checker.Segments());
  DKFS_TRY(checker.Versions());
  DKFS_TRY(checker.Tree(checker.newest()));
  const Seq oldest = checker.oldest();
  if (oldest && oldest != checker.newest()) DKFS_TRY(checker.Tree(oldest));
  return Status::Ok();
}

}  // namespace dkfs
