// A kernel's types (BTF) from a mirror laid out like BTFHub's archive: URL/ID/VERSION_ID/ARCH/RELEASE.btf.tar.xz, with
// RELEASE.btf in it. The only user of curl and libarchive, which are loaded when a
// mirror is asked. What comes from outside is bounded in time, size and memory,
// and nothing of an archive but the one file's bytes is used.
#pragma once

#include <atomic>
#include <string>

#include "store/base/status.h"

namespace dkfs {

inline constexpr size_t kMaxBtfArchive = 16 << 20;
inline constexpr size_t kMaxBtfBytes = 32 << 20;

// http and https only. ENOPKG: libcurl is not installed; ENOENT: the mirror has none; EFBIG: larger than
// kMaxBtfArchive; ECANCELED; EIO: anything else, in words. `cancel` is polled.
Result<std::string> Download(const std::string& url, const std::atomic<bool>& cancel);
// The content of the file `name` (its last part counts) in a .tar.xz. EFBIG: larger than kMaxBtfBytes; ENOENT: not in
// it; EBADMSG: cut or no such archive; ENOPKG: libarchive is not installed.
Result<std::string> UnpackTarXz(const std::string& archive, const std::string& name);

}  // namespace dkfs
