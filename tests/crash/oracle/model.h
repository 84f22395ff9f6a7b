// What one thread's operations make of its part of the tree, in memory, step by step.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/oracle/op.h"
#include "tests/crash/oracle/tree.h"

namespace dkfs::oracle {

class Model {
 public:
  struct Node {
    char type = 'f';
    uint32_t mode = 0, uid = 0, gid = 0;
    std::shared_ptr<const std::string> data;  // null: empty
    std::map<std::string, std::string> xattrs;
    std::string target;
    std::optional<int64_t> mtime_ns;

    uint64_t size() const { return data == nullptr ? 0 : data->size(); }
  };

  explicit Model(uint32_t thread);

  // Applies one step of an operation. touched(): the nodes whose sync now covers this step.
  void Apply(const Op& op, size_t step);
  const std::vector<int64_t>& touched() const { return touched_; }

  // The nodes a successful `op` has made durable.
  std::vector<int64_t> CoveredBy(const Op& op) const;

  Rows ToRows() const;
  const std::map<std::string, int64_t>& names() const { return names_; }
  const Node& node(int64_t id) const { return nodes_.at(id); }
  const Node& at(const std::string& path) const { return nodes_.at(names_.at(path)); }
  bool Has(const std::string& path) const { return names_.contains(path); }
  size_t Links(const std::string& path) const;
  bool IsEmptyDir(const std::string& path) const;
  uint32_t thread() const { return thread_; }

 private:
  int64_t Find(const std::string& path) const { return names_.at(path); }
  std::string* Edit(int64_t id);
  void Put(int64_t id, uint64_t offset, std::string_view bytes);
  void Resize(int64_t id, uint64_t size);
  void Add(const std::string& path, Node node);
  void Remove(const std::string& path);
  void Move(const std::string& from, const std::string& to);
  void Exchange(const std::string& a, const std::string& b);
  void Touch(int64_t id);
  void TouchParent(const std::string& path);
  void ApplyContent(const Op& op, size_t step);
  void ApplyNames(const Op& op);
  void ApplyAttributes(const Op& op);

  uint32_t thread_;
  std::map<std::string, int64_t> names_;
  std::map<int64_t, Node> nodes_;  // those with a name, and the regions
  int64_t next_ = 1;
  std::vector<int64_t> touched_;
};

// Nodes that are not files of the thread's own.
inline constexpr int64_t kSharedDirNode = -100;
constexpr int64_t RegionNode(int number) { return -1 - number; }
int SharedNumber(const std::string& path);  // of SharedFile

}  // namespace dkfs::oracle
