// The kernel's interface of FUSE over io_uring (Linux 6.14), which <linux/fuse.h> of the supported systems lacks.
// Source: Documentation/filesystems/fuse/fuse-io-uring.rst and include/uapi/linux/fuse.h, protocol 7.42.
#pragma once

#include <cstdint>

namespace dkfs::ring_abi {

inline constexpr uint64_t kInitFlag = uint64_t{1} << 41;  // FUSE_OVER_IO_URING, of INIT
inline constexpr uint32_t kRegister = 1;                  // commands of IORING_OP_URING_CMD
inline constexpr uint32_t kCommitAndFetch = 2;

// Behind the two headers of an entry: what its payload holds.
struct InOut {
  uint64_t flags;
  uint64_t commit_id;  // to be given back with the answer
  uint32_t payload_bytes;
  uint32_t padding;
  uint64_t reserved;
};

// The kernel writes a request's header and its operation's own struct here, and reads the answer's header.
struct EntryHeader {
  char in_out[128];
  char operation[128];
  InOut ring;
};
static_assert(sizeof(EntryHeader) == 288);

// In the last 80 bytes of a submission.
struct Command {
  uint64_t flags;
  uint64_t commit_id;
  uint16_t queue;
  uint8_t padding[6];
};
static_assert(sizeof(Command) == 24);

}  // namespace dkfs::ring_abi
