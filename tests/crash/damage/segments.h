// What stands where in the segments of a whole store, so that damage can be aimed.
#pragma once

#include <string>
#include <vector>

#include "store/format/record.h"
#include "store/format/segment.h"

namespace dkfs::damage {

struct Place {
  uint64_t offset = 0;
  RecordHeader header;
};
struct SegmentLayout {
  std::string file;  // below the store's directory
  SegmentHeader header;
  std::vector<Place> records;
  uint64_t end = 0;   // behind the last record
  uint64_t size = 0;  // of the file
};

std::vector<SegmentLayout> LayoutsOf(const std::string& store);

}  // namespace dkfs::damage
