// What the micro-benchmarks share: a store on the disk, and blocks to put into it.
#pragma once

#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "store/store.h"

namespace dkfs::bench {

// A folder under DKFS_BENCH_DIR, else /var/tmp, removed with everything in it.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Ends the program: a benchmark that goes on after an error measures nothing.
void Check(const Status& status);
template <class T>
T Take(Result<T> result) {
  Check(result.ok() ? Status::Ok() : result.status());
  return std::move(result).value();
}

// `size` bytes that differ with `seed`; about half of them compress away.
std::string Block(size_t size, uint64_t seed);
inline constexpr size_t kBlockBytes = size_t{1} << kDefaultBlockShift;

// A store whose background threads stand still, with one file.
class Scene {
 public:
  explicit Scene(bool background = false);
  Store& store() { return *store_; }
  FileId file() const { return file_; }
  InodeState state() const;
  Seq PutBaseline(uint64_t block, const std::string& bytes);
  // `now` as changed ranges against `before`, which is the version at `base`; `depth` deltas down to its baseline.
  Seq PutDelta(uint64_t block, const std::string& before, const std::string& now, Seq base, uint8_t depth);

 private:
  Seq Put(uint64_t block, const BlockVersion& version, const std::string& payload);

  Folder folder_;
  std::unique_ptr<Store> store_;
  FileId file_;
  RecordBuilder record_;
};

}  // namespace dkfs::bench
