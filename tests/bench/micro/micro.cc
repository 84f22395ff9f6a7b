#include "tests/bench/micro/micro.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "store/base/file.h"
#include "store/base/hash.h"
#include "store/codec/codec.h"

namespace dkfs::bench {

Folder::Folder() {
  const char* home = std::getenv("DKFS_BENCH_DIR");
  path_ = std::string(home != nullptr ? home : "/var/tmp") + "/dkfs-micro-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) Check(Status::FromErrno("mkdtemp " + path_));
}

Folder::~Folder() { file::RemoveTree(AT_FDCWD, path_).Ignore("a folder that stays is seen"); }

void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "dkfs_micro: %s\n", status.ToString().c_str());
  std::abort();
}

std::string Block(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string block(size, 'x');
  for (size_t i = 0; i + 16 <= size; i += 16) {
    const uint64_t word = random();
    std::memcpy(block.data() + i, &word, sizeof word);
  }
  return block;
}

Scene::Scene(bool background) {
  StoreOptions options;
  options.background = background;
  store_ = Take(Store::Open(folder_.path() + "/store", options));
  file_ = store_->NewFile();
  record_.Inode(file_, state());
  Take(store_->Append(record_));
}

InodeState Scene::state() const {
  InodeState state;
  state.mode = S_IFREG | 0644;
  state.nlink = 1;
  state.size = uint64_t{1} << 30;
  return state;
}

Seq Scene::Put(uint64_t block, const BlockVersion& version, const std::string& payload) {
  const Bytes bytes = AsBytes(payload);
  record_.Clear();
  record_.Blocks(file_, LayoutId{1}, kDefaultBlockShift, block, std::span(&version, 1), std::span(&bytes, 1));
  return Take(store_->Append(record_));
}

Seq Scene::PutBaseline(uint64_t block, const std::string& bytes) {
  return Put(block, {BlockKind::kBaseline, 0, static_cast<uint32_t>(bytes.size()), Hash64(AsBytes(bytes)), Seq{}},
             bytes);
}

Seq Scene::PutDelta(uint64_t block, const std::string& before, const std::string& now, Seq base, uint8_t depth) {
  std::string ranges;
  codec::DiffRanges(AsBytes(before), AsBytes(now), now.size(), &ranges);
  return Put(block, {BlockKind::kDelta, depth, static_cast<uint32_t>(ranges.size()), Hash64(AsBytes(now)), base},
             ranges);
}

}  // namespace dkfs::bench
