// Names as they are shown to people.
#pragma once

#include <string>

namespace dkfs {

// Names are whatever a user chose: nothing of them may steer the terminal. Control characters become '?'.
std::string Printable(std::string text);

}  // namespace dkfs
