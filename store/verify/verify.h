// Verify: checks a store's invariants, read-only. Not a repair: it changes nothing and needs no mount.
//
// Checked: FORMAT and the index's own files; every segment header, record and frame (checksums, order); that what
// records say stands in the index, for every moment that can be restored; that every version's payload is there, and
// (unless `quick`) decodes to the checksum it was recorded with; that names, entries and link counts agree, at the
// oldest and at the newest moment.
#pragma once

#include <functional>
#include <string>

#include "store/base/status.h"

namespace dkfs {

struct VerifyOptions {
  bool quick = false;  // do not decode versions
  // One line for each damage, naming the file in the store, the path, the block and the moment where they are known.
  std::function<void(const std::string&)> on_damage = [](const std::string&) {};
};

struct VerifyResult {
  uint64_t segments = 0, records = 0, versions = 0, inodes = 0;
  uint64_t damages = 0;
};

// Ok: the check ran to its end (see result->damages). An error: the store could not be opened or read at all; codes as
// Store::Open.
Status Verify(const std::string& store, const VerifyOptions& options, VerifyResult* result);

}  // namespace dkfs
