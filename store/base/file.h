// File i/o of the store. Every byte of the store, the journal's included, is written, synced, renamed or removed
// through these functions (RocksDB's through the FileSystem built over them in store/kv), so that a fault injector and
// the power-loss layer see all of it; a ctest rejects any other writing or syncing call in store/.
//
// All calls retry EINTR and complete short transfers. Errors carry the operation and `what` (a path, for people).
// Thread-safety: as the system calls.
#pragma once

#include <sys/stat.h>
#include <sys/uio.h>

#include <string>
#include <string_view>
#include <vector>

#include "store/base/bytes.h"
#include "store/base/status.h"
#include "store/base/unique_fd.h"

namespace dkfs::file {

// Opens path relative to dirfd (AT_FDCWD allowed); O_CLOEXEC is added. With O_TRUNC: Corruption, without waiting, when
// something else than an ordinary file stands there.
Result<UniqueFd> Open(int dirfd, const std::string& path, int flags, mode_t mode = 0600);
// An ordinary file for reading. Corruption when something else stands there: a directory, a fifo, a device, a link that
// leads nowhere.
Result<UniqueFd> OpenRegular(int dirfd, const std::string& path);
// Reads until `out` is full or the file ends; the number of bytes read.
Result<size_t> ReadAt(int fd, MutableBytes out, uint64_t offset, std::string_view what);
// Reads exactly out.size() bytes; a shorter file is EUCLEAN.
Status ReadExactAt(int fd, MutableBytes out, uint64_t offset, std::string_view what);
Status WriteAt(int fd, Bytes data, uint64_t offset, std::string_view what);
// The same for content that nobody reads here soon: it begins to go to the disk at once and does not stay in the page
// cache, where the kernel can do that (Linux 6.16).
Status WriteStreamAt(int fd, Bytes data, uint64_t offset, std::string_view what);
// Writes all parts in order; changes the iovec array while working through short writes.
Status WriteVectorAt(int fd, struct iovec* parts, int count, uint64_t offset, std::string_view what);
Status Datasync(int fd, std::string_view what);
Status Sync(int fd, std::string_view what);    // fsync
Status SyncFs(int fd, std::string_view what);  // syncfs
Status Truncate(int fd, uint64_t size, std::string_view what);
Status Allocate(int fd, uint64_t size, std::string_view what);  // fallocate(0, 0, size)
// Nothing was written there, or it lies behind the end. A file system that cannot tell says no.
bool IsHole(int fd, uint64_t offset, uint64_t length);
// Of a file that is still empty: what is written over needs no new place on a file system that copies on write (btrfs).
void KeepInPlace(int fd);  // a wish
void DropCached(int fd);   // lets its clean pages leave memory: a wish
Status Rename(int dirfd, const std::string& from, const std::string& to);
Status Unlink(int dirfd, const std::string& path);
Status MakeDir(int dirfd, const std::string& path, mode_t mode = 0700);
Status MakeDirs(const std::string& path, mode_t mode = 0700);  // mkdir -p; what is made lasts
// Syncs the directory itself, so that names created, renamed or removed in it last.
Status SyncDir(int dirfd, const std::string& path);
Result<struct stat> Stat(int dirfd, const std::string& path, int flags = 0);
Result<struct stat> StatFd(int fd, std::string_view what);
Result<std::vector<std::string>> ListDir(int dirfd, const std::string& path);  // without "." and "..", any order
Result<std::string> ReadAll(int dirfd, const std::string& path);  // small files; Corruption for what is none
// Publishes a small file in one atomic step: temporary name, write, fsync, rename, fsync of the directory.
Status ReplaceDurably(int dirfd, const std::string& path, std::string_view content);
// Removes a tree below dirfd/path without following links or leaving its file system. ENOENT is success.
Status RemoveTree(int dirfd, const std::string& path);

}  // namespace dkfs::file
