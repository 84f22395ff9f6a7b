// The words of `-o`, in fstab manner: dkfs's own, those of mount(2), those that only fstab's readers look at.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/status.h"

namespace dkfs {

struct MountWords {
  std::map<std::string, std::string>
      settings;                    // dkfs's own: store, order, retain, budget, metrics-addr, hotness, ..., config
  std::vector<std::string> flags;  // of mount(2), in order; a later one wins
};

// The names of dkfs's own settings, each with a value, wherever they come from: flags, environment, files, -o.
std::span<const std::string_view> SettingNames();

// Adds the words of one -o argument. EINVAL names an unknown word (unless `sloppy`, mount's -s: skipped) or a setting
// given twice with different values.
Status AddMountWords(std::string_view list, bool sloppy, MountWords* words);
// The MS_* bits that `flags` amount to, over those that hold without them.
unsigned long MountFlagsOf(const std::vector<std::string>& flags, unsigned long given = 0);

}  // namespace dkfs
