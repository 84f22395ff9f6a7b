#include "fs/hotness/hotness.h"

namespace dkfs {

std::unordered_map<FileId, PageWrites> PagesByFile(const HotnessCounts& counts) {
  std::unordered_map<FileId, PageWrites> out;
  for (const ExtentWrites& e : counts.extents) {
    PageWrites& of = out[e.file];
    ++of.extents;
    of.pages += e.counts.pages;
    of.rewritten += e.counts.rewritten;
  }
  return out;
}

}  // namespace dkfs
