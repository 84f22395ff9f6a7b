// Random but well-formed values of the disk format, for round trips and as seeds to mutate.
#pragma once

#include <vector>

#include "store/format/item.h"
#include "store/format/keys.h"
#include "store/format/record.h"
#include "store/format/segment.h"
#include "tests/support/random.h"

namespace dkfs::test {

TimeSpec AnyTime(Random* random);
FileId AnyFile(Random* random);
InodeState AnyInodeState(Random* random);
RecordHeader AnyRecordHeader(Random* random);
SegmentHeader AnySegmentHeader(Random* random);
BlockEntry AnyBlockEntry(Random* random);
// An item of any type. A BlocksItem's payload borrows from *payload.
Item AnyItem(Random* random, std::string* payload);
// A record body of a few items.
std::string AnyBody(Random* random);

}  // namespace dkfs::test
