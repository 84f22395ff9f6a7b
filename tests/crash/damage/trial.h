// Trial: one damaged store, asked for everything. What must hold of any damage:
//   D1  Opening answers with one clear line that names the store, or succeeds.
//   D2  Whatever is answered, at every moment, is right. The rest is refused with an error, not said to be absent.
//   D3  Records are missing only where an error says so, or where nothing says that they had been synced.
//   D4  verify names whatever was changed, but for what it may pass over (Variant::harmless).
//   D5  restore with keep_going writes what can be read, nothing wrong, and its status tells whether that is all.
//   D6  A store that opens for writing takes a record, and has it when opened again.
#pragma once

#include <map>
#include <string>

#include "tests/crash/damage/variants.h"
#include "tests/golden/tree.h"

namespace dkfs::damage {

struct Outcome {
  std::string sort;                 // "no effect", "refused", "served in part", "shorter", "index made again"
  std::string notes;                // for people
  std::vector<std::string> broken;  // "D2: ..." for each invariant broken
};

// `store` is the damaged store, `scratch` an empty directory.
Outcome Try(const Variant& variant, const std::string& store, const std::string& scratch,
            const std::map<Seq, golden::Tree>& moments);

}  // namespace dkfs::damage
