/* What the programs read of the kernel: the members alone, found at load time by the kernel's BTF (CO-RE), so that
 * building needs no kernel's BTF. Names and types follow the kernel; order and offsets mean nothing. */
#ifndef DKFS_BPF_KERNEL_H
#define DKFS_BPF_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void*)0)

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
enum { BPF_MAP_TYPE_ARRAY = 2, BPF_MAP_TYPE_PERCPU_ARRAY = 6, BPF_MAP_TYPE_LRU_HASH = 9 };

/* The FUSE protocol (include/uapi/linux/fuse.h): fixed, so without CO-RE. */
enum { FUSE_WRITE = 16, FUSE_FSYNC = 20, FUSE_WRITE_CACHE = 1 };
struct fuse_write_in {
  __u64 fh;
  __u64 offset;
  __u32 size;
  __u32 write_flags;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
  __u32 s_dev;
};
struct inode {
  struct super_block* i_sb;
};
struct file {
  struct inode* f_inode;
  unsigned int f_flags;
};
struct address_space {
  struct inode* host;
};
struct folio {
  unsigned long index;
};
struct page {
  struct address_space* mapping;
  unsigned long index;
};
struct kiocb {
  struct file* ki_filp;
  long long ki_pos;
  int ki_flags;
};
struct iov_iter {
  unsigned long count;
};

struct fuse_conn {
  __u32 dev;
};
struct fuse_mount {
  struct fuse_conn* fc;
};
struct fuse_in_arg {
  unsigned int size;
  const void* value;
};
struct fuse_args {
  struct fuse_in_arg in_args[3];
};
struct fuse_in_header {
  __u32 opcode;
  __u64 nodeid;
};
struct fuse_req {
  struct fuse_args* args;
  struct {
    struct fuse_in_header h;
  } in;
  struct fuse_mount* fm;
};
struct fuse_inode {
  struct inode inode;
  __u64 nodeid;
};

struct iomap {
  __u64 length;
};
struct iomap_iter {
  struct inode* inode;
  long long pos;
  __u64 len;
  unsigned int flags;
  struct iomap iomap;
};

#pragma clang attribute pop

/* include/linux/iomap.h and fs.h; not in BTF. */
enum { IOMAP_WRITE = 1 << 0, IOMAP_ZERO = 1 << 1, IOMAP_FAULT = 1 << 3, IOMAP_DIRECT = 1 << 4, IOMAP_UNSHARE = 1 << 7 };
enum { IOCB_DIRECT = 1 << 17 };

#endif
