// Disk: what a store's disk may hold when the power fails, from the trace of what was done to it
// (store/base/io_trace.h).
//
// Walks the trace forward; at any place images of what a loss of power there may leave can be made. The model is what
// POSIX permits a file system that keeps its own structure whole (ext4 with its journal):
//   - A completed fsync or fdatasync made durable what the file's data and size were when it began; not its name.
//   - A completed fsync of a directory made its names durable; names not synced may be there all the same, in the order
//     they were made, or in that order within each directory. A rename is atomic.
//   - Of each file what was not synced is, independently for every block, sector or write, there or not; a block may
//     be torn at a sector or at any byte; the size is any it has had since, with zeros or old bytes where data is
//     missing.
// A variant says which of these images it is: 0 nothing unsynced is there, 1 everything, others at random from it.
// Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/base/io_trace.h"
#include "tests/crash/power/content.h"

namespace dkfs::test {

inline constexpr uint64_t kNothingUnsynced = 0, kEverything = 1;

class Disk {
 public:
  Disk();
  // Takes the next event of the trace; its data must stay valid.
  Status Apply(uint64_t index, uint32_t pid, const IoEvent& event);
  // Writes the image into `path`, a directory that does not exist yet.
  Status Build(uint64_t variant, const std::string& path) const;

  // What a broken store would have done; the oracle must find it. The next sync of a journal segment covers all
  // but the last write before it.
  void DelayOneWrite() { delay_ = true; }
  bool delayed() const { return delayed_; }

  uint64_t unsynced_writes() const;
  uint64_t unsynced_names() const;

 private:
  struct Node;
  using NodeRef = std::shared_ptr<Node>;
  enum class Kind { kWrite, kTruncate, kAllocate };
  struct Change {
    uint64_t index;
    Kind kind;
    uint64_t offset, length;
    Bytes data;
  };
  struct NameChange {
    uint64_t index;
    std::string erase;  // "" for none
    std::string set;    // likewise
    NodeRef node;       // of `set`
  };
  using Names = std::map<std::string, NodeRef>;
  struct Node {
    bool is_dir = false;
    uint64_t ino = 0;
    // a file
    Content durable;
    std::vector<Change> pending;
    // a directory
    Names names, now;
    std::vector<NameChange> pending_names;
  };
  struct Sync {
    std::vector<NodeRef> nodes;
    uint64_t begun = 0;
  };
  class Image;

  NodeRef Find(std::string_view path) const;
  NodeRef ParentOf(std::string_view path, std::string* name) const;
  Status SetName(uint64_t index, std::string_view path, NodeRef node);
  Status EraseName(uint64_t index, std::string_view path);
  Status Rename(uint64_t index, std::string_view from, std::string_view to);
  Status Create(uint64_t index, const IoEvent& event);
  void Write(Change change, uint64_t ino);
  void Begin(const IoEvent& event);
  Status Describe(const IoEvent& event);
  Status Described(uint64_t index);
  void Compare(uint64_t index, const NodeRef& old, const NodeRef& found);
  void BeginSync(uint64_t index, uint32_t pid, const IoEvent& event);
  void EndSync(uint32_t pid, const IoEvent& event);
  static void ApplyChange(const Change& change, Content* content);
  static Content Now(const Node& node);
  static void MakeDurable(const NodeRef& node, uint64_t before, uint64_t* last_name);
  static void EachNode(const NodeRef& node, const std::function<void(const NodeRef&)>& each);

  NodeRef root_;
  NodeRef described_;  // between kBegin and kBegun
  bool described_before_ = false;
  std::map<uint64_t, NodeRef> by_ino_;
  std::map<std::pair<uint32_t, uint64_t>, Sync> syncs_;  // by process and number
  uint64_t last_durable_name_ = 0;                       // index of the newest name change that is durable
  bool delay_ = false, delayed_ = false;
};

}  // namespace dkfs::test
