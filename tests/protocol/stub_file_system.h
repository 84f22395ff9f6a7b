// A FileSystem of its own for the trampolines' tests: it stands in for fs/ops at link time, keeps everything in memory,
// and lets tests hold barriers, fail calls and look at what arrived.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "fs/ops/file_system.h"

namespace dkfs {

struct StubNode {
  InodeState state;
  std::string content;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, uint64_t> children;  // directories
  uint64_t lookups = 0;
};

struct StubWorld {
  std::mutex mutex;
  std::map<uint64_t, StubNode> nodes;
  uint64_t next = 2;
  std::optional<Status> fail;  // every call answers this
  bool explode = false;        // the next call throws
  bool hold_barriers = false;
  bool drop_barriers = false;  // forgets the callback
  std::deque<std::function<void(Status)>> barriers;
  std::deque<FileSystem::Sought> sought;  // answers to the next seeks
  Caller last_caller;
  SetAttrRequest last_setattr;
  bool last_kill = false, last_acl_kill = false, last_from_cache = false, last_append = false;
  uintptr_t last_data = 0;  // address of the last write's bytes
};

StubWorld& World();
// A fresh world with only the root.
void ResetWorld();
std::unique_ptr<FileSystem> MakeStubFileSystem();

}  // namespace dkfs
