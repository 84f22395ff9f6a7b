// Whether a request from the device is whole: libfuse trusts lengths, so a request that lies about them must not reach
// it.
#pragma once

#include "store/base/bytes.h"

namespace dkfs {

// True when `request` holds a header, its length is the one it states, and its operation's struct and the sizes in it
// lie inside. Opcodes unknown here are whole (libfuse refuses them). Strings are the caller's: it puts NULs behind the
// request. `setxattr_ext`: SETXATTR's struct is the long one.
bool IsWholeRequest(Bytes request, bool setxattr_ext);

}  // namespace dkfs
