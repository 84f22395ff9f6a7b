#include "tests/crash/damage/segments.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "store/base/file.h"
#include "store/journal/segment_scan.h"

namespace dkfs::damage {
namespace {

SegmentLayout LayoutOf(int dirfd, const std::string& name) {
  SegmentLayout layout;
  layout.file = "journal/" + name;
  Result<SegmentScan> scan = SegmentScan::Open(dirfd, name);
  DKFS_CHECK(scan.ok());
  layout.header = scan->header();
  layout.size = scan->size();
  SegmentScan::Record record;
  for (;;) {
    Result<SegmentScan::Place> place = scan->Next(&record);
    DKFS_CHECK(place.ok() && *place != SegmentScan::Place::kDamage);
    if (*place == SegmentScan::Place::kEnd) break;
    layout.records.push_back({record.offset, record.header});
  }
  layout.end = scan->offset();
  return layout;
}

}  // namespace

std::vector<SegmentLayout> LayoutsOf(const std::string& store) {
  Result<UniqueFd> dir = file::Open(AT_FDCWD, store + "/journal", O_RDONLY | O_DIRECTORY);
  DKFS_CHECK(dir.ok());
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(store + "/journal")) {
    const std::string name = entry.path().filename();
    if (name.ends_with(".seg") || name.ends_with(".pack")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  std::vector<SegmentLayout> layouts;
  for (const std::string& name : names) layouts.push_back(LayoutOf(dir->get(), name));
  return layouts;
}

}  // namespace dkfs::damage
