// Tree: what a store must answer at one moment, by path; and the check that a store answers just that. With `damage`
// allowed a thing may be refused, but what is answered must be right, and nothing may pass for absent.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "store/store.h"

namespace dkfs::golden {

using Block = std::shared_ptr<const std::string>;  // whole; null: zeros

struct Node {
  FileId file;
  InodeState state;
  std::map<std::string, std::string> xattrs;
  std::map<uint64_t, Block> blocks;  // by block number; a missing one is zeros
  std::set<uint64_t> uncaptured;     // blocks of a file being adopted of which the store has nothing
};
using Tree = std::map<std::string, Node>;  // "" is the root

struct Check {
  std::string wrong;          // the first answer that is not the tree's; "" when there is none
  uint64_t refused = 0;       // things the store did not answer
  std::set<int> codes;        // with which errors
  std::string first_refusal;  // the message of one
};

// Asks for everything in `tree`: listings, lookups, inodes, attributes, names of inodes, contents.
Check CheckTree(Store& store, const Tree& tree, Seq at);

// The tree as a whole store answers it. Aborts on an error.
Tree ReadTree(Store& store, Seq at);

// The tree as text, one line a path: type and mode, owner, links, size, mtime, content, attributes. For people and for
// comparing, the same on every machine.
std::string TreeText(const Tree& tree);

}  // namespace dkfs::golden
