// RequestCounts: counts what the daemon is asked to do, where BPF cannot look or only samples. It sees requests only:
// what the kernel's page cache absorbs (order=fsync, mappings) is seen when it is handed over.
//
// For the write path: an entry is found by hash in a small set, under one of many mutexes that is only ever tried. When
// somebody else holds it the event is dropped and counted, so no request waits for statistics. While it is not
// counting, an event costs one relaxed load. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "fs/hotness/hotness.h"
#include "store/base/mutex.h"

namespace dkfs {

// The pages of an extent that were written again lately, a bit each.
struct ExtentPages {
  FileId file;
  uint64_t extent = 0;  // offset >> HOTNESS_EXTENT_SHIFT
  uint64_t pages = 0;
};

class RequestCounts : public Hotness {
 public:
  RequestCounts();
  ~RequestCounts() override;

  void SetCounting(bool counting) { counting_.store(counting, std::memory_order_relaxed); }
  // `from_cache`: pages that the kernel's cache hands over.
  void OnWrite(FileId file, uint64_t offset, uint64_t size, bool from_cache) {
    if (counting_.load(std::memory_order_relaxed)) CountWrite(file, offset, size, from_cache);
  }
  void OnFsync(FileId file) {
    if (counting_.load(std::memory_order_relaxed)) CountFsync(file);
  }

  Result<HotnessCounts> Read() const override;
  std::vector<FileWrites> ReadFiles() const;  // those of Read() alone
  HotnessStatus status() const override;
  // What was written again since the last call, in any order. For one caller.
  std::vector<ExtentPages> TakeRewritten();

 private:
  static constexpr size_t kShards = 64;
  struct Shard;

  void CountWrite(FileId file, uint64_t offset, uint64_t size, bool from_cache);
  void CountFsync(FileId file);
  void CountExtent(FileId file, uint64_t extent, uint64_t offset, uint64_t end);
  template <class Body>
  void WithShard(uint64_t hash, Body&& body);

  std::atomic<bool> counting_{false};
  std::atomic<uint64_t> busy_{0};  // events dropped because a shard was in use
  std::unique_ptr<std::array<Shard, kShards>> shards_;
};

}  // namespace dkfs
