/* Types that the kernel programs and the daemon share. Counts only grow while an entry lives; an entry that was pushed
 * out and came back has another `born`. Bytes have the host's order: both sides run on one machine. C and C++. */
#ifndef DKFS_BPF_HOTNESS_H
#define DKFS_BPF_HOTNESS_H

#ifndef DKFS_BPF_KERNEL_H
#include <linux/types.h>
#endif

#define HOTNESS_PAGE_SHIFT 12
#define HOTNESS_EXTENT_SHIFT 18 /* 64 pages: one bit each in `touched` and `again` */
#define HOTNESS_EXTENT_PAGES (1 << (HOTNESS_EXTENT_SHIFT - HOTNESS_PAGE_SHIFT))
#define HOTNESS_SIZE_CLASSES 8
#define HOTNESS_MAX_FILES 4096
#define HOTNESS_MAX_EXTENTS 16384
/* What is counted of each event, and of how many: HOTNESS_EXACT events a second each for itself; beyond, one run of
 * HOTNESS_RUN in HOTNESS_SAMPLE, chosen by chance, whose events count HOTNESS_SAMPLE-fold. So a count is exact for what
 * is written slowly or briefly, and right on average for the rest. Runs, since what is sequential is seen in events
 * that follow each other; of all CPUs together, since a writer moves between them, with order=calls at each write. */
#define HOTNESS_EXACT 1000
#define HOTNESS_RUN 256
#define HOTNESS_SAMPLE 16
#define HOTNESS_TAIL 8192   /* a log that goes on in its last page, filled in part, begins so far back */
#define HOTNESS_MAX_SPAN 16 /* extents that one write is spread over; what lies beyond is counted in `unspread` */

/* Key: FileId. A write is what the application did: a call, or the request it became; not the pages that the kernel's
 * cache hands over later. */
struct hotness_file {
  __u64 born; /* monotonic ns */
  __u64 writes;
  __u64 bytes;
  __u64 sequential; /* writes that began where the one before ended */
  __u64 back;       /* writes that began more than HOTNESS_TAIL before that */
  __u64 fsyncs;
  __u64 mapped_pages;      /* pages that became dirty through a mapping */
  __u64 handed_over_bytes; /* from the kernel's cache to dkfs */
  __u64 sizes[HOTNESS_SIZE_CLASSES];
  __u64 next_offset; /* behind the last write */
  __u64 cgroup;      /* of the last writer; 0: not known */
};

struct hotness_extent_key {
  __u64 file;
  __u64 extent; /* offset >> HOTNESS_EXTENT_SHIFT */
};

struct hotness_extent {
  __u64 born;
  __u64 writes;
  __u64 bytes;
  __u64 pages;     /* touched by writes, each write counting its own */
  __u64 rewritten; /* of these, pages that had been touched before */
  __u64 mapped_pages;
  __u64 touched;
  __u64 again; /* touched when they had been touched before, or through a mapping */
};

/* One for each CPU. events, writes and bytes are exact. */
struct hotness_totals {
  __u64 events;  /* of this mount */
  __u64 skipped; /* of these, events that others stand for */
  __u64 writes;
  __u64 bytes;
  __u64 files_made;
  __u64 extents_made;
  __u64 drops;    /* no place in a map */
  __u64 unspread; /* writes larger than HOTNESS_MAX_SPAN extents */
};

#ifdef __cplusplus
#define HOTNESS_LAYOUT(cond) static_assert(cond, #cond)
#else
#define HOTNESS_LAYOUT(cond) _Static_assert(cond, #cond)
#endif
HOTNESS_LAYOUT(sizeof(struct hotness_file) == 18 * 8);
HOTNESS_LAYOUT(__builtin_offsetof(struct hotness_file, sizes) == 8 * 8);
HOTNESS_LAYOUT(__builtin_offsetof(struct hotness_file, cgroup) == 17 * 8);
HOTNESS_LAYOUT(sizeof(struct hotness_extent_key) == 2 * 8);
HOTNESS_LAYOUT(sizeof(struct hotness_extent) == 8 * 8);
HOTNESS_LAYOUT(__builtin_offsetof(struct hotness_extent, again) == 7 * 8);
HOTNESS_LAYOUT(sizeof(struct hotness_totals) == 8 * 8);
HOTNESS_LAYOUT(HOTNESS_EXTENT_PAGES == 64);

/* Upper bounds, inclusive: 512 B, 4, 8, 16, 64, 256 KiB, 1 MiB, and all above. */
static inline __attribute__((always_inline)) __u32 hotness_size_class(__u64 bytes) {
  return bytes <= 512       ? 0
         : bytes <= 4096    ? 1
         : bytes <= 8192    ? 2
         : bytes <= 16384   ? 3
         : bytes <= 65536   ? 4
         : bytes <= 262144  ? 5
         : bytes <= 1048576 ? 6
                            : 7;
}

/* The bits of the pages that [offset, end) touches in extent `extent`. REQUIRES: it touches some. */
static inline __attribute__((always_inline)) __u64 hotness_pages_of(__u64 extent, __u64 offset, __u64 end) {
  __u64 start = extent << HOTNESS_EXTENT_SHIFT;
  __u64 from = offset > start ? (offset - start) >> HOTNESS_PAGE_SHIFT : 0;
  __u64 left = end - start;
  __u64 last = left > (1 << HOTNESS_EXTENT_SHIFT) ? 63 : (left - 1) >> HOTNESS_PAGE_SHIFT;
  return (~0ull << (from & 63)) & (~0ull >> (63 - (last & 63)));
}

static inline __attribute__((always_inline)) __u64 hotness_bits(__u64 v) {
  v = v - ((v >> 1) & 0x5555555555555555ull);
  v = (v & 0x3333333333333333ull) + ((v >> 2) & 0x3333333333333333ull);
  v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
  return (v * 0x0101010101010101ull) >> 56;
}

#endif
