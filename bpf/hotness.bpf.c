/* How the files of one dkfs mount are written, as the kernel sees it.
 *
 * Three probes, each with several programs of which user space attaches one (fs/hotness/probes.cc):
 *   request  a FUSE request leaves for the daemon: direct and written-through writes, fsync, pages handed over
 *   write    a write(2) call that the page cache absorbs (order=fsync)
 *   dirty    a page becomes dirty: outside a write call, through a mapping
 * The first thing each does is to leave when the event is of another file system.
 */
#include "bpf/kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/hotness.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 our_device = 0; /* dev_t of the mount, as the kernel keeps it */

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, HOTNESS_MAX_FILES);
  __type(key, __u64);
  __type(value, struct hotness_file);
} files SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, HOTNESS_MAX_EXTENTS);
  __type(key, struct hotness_extent_key);
  __type(value, struct hotness_extent);
} extents SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct hotness_totals);
} totals SEC(".maps");

/* Which threads are just writing to which inode by a call: pages of it that become dirty meanwhile are no mapped ones. A
 * plain array, since nothing is cheaper; of two threads that share a place the pages of one may count as mapped. */
#define CALLS 4096
struct call {
  __u64 thread;
  __u64 inode; /* 0: no call */
};
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, CALLS);
  __type(key, __u32);
  __type(value, struct call);
} calls SEC(".maps");

#define ADD(field, n) __sync_fetch_and_add(&(field), (n))

static __always_inline struct hotness_totals *get_totals(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&totals, &zero);
}

/* Which events are counted. Shared by all CPUs and written without atomics: an increment that is lost in a race makes a
 * run longer, which is no error. */
static struct {
  __u64 events;
  __u64 second_began; /* monotonic ns; 0: not yet */
  __u64 exact_left;   /* in this second */
  __u64 weight;       /* of an event of this run: 0 or HOTNESS_SAMPLE */
} sampling;

/* For how many this event counts; 0: for none. The clock is asked for one event in 16, since it costs as much as the
 * rest. */
static __always_inline __u64 weigh_event(struct hotness_totals *t) {
  t->events++;
  __u64 n = sampling.events++;
  if ((n & 15) == 0) {
    __u64 now = bpf_ktime_get_ns();
    if (sampling.second_began == 0 || now - sampling.second_began >= 1000000000) {
      sampling.second_began = now;
      sampling.exact_left = HOTNESS_EXACT;
    }
  }
  if ((n & (HOTNESS_RUN - 1)) == 0) {
    sampling.weight = bpf_get_prandom_u32() % HOTNESS_SAMPLE == 0 ? HOTNESS_SAMPLE : 0;
  }
  __u64 left = sampling.exact_left;
  if (left > 0) {
    sampling.exact_left = left - 1;
    return 1;
  }
  __u64 weight = sampling.weight;
  if (weight == 0) t->skipped++;
  return weight;
}

static __always_inline struct hotness_file *get_file(__u64 id, struct hotness_totals *t) {
  struct hotness_file *f = bpf_map_lookup_elem(&files, &id);
  if (f) return f;
  struct hotness_file fresh = {};
  fresh.born = bpf_ktime_get_ns();
  fresh.next_offset = ~0ull;
  if (bpf_map_update_elem(&files, &id, &fresh, BPF_NOEXIST) == 0) t->files_made++;
  f = bpf_map_lookup_elem(&files, &id);
  if (!f) t->drops++;
  return f;
}

static __always_inline struct hotness_extent *get_extent(__u64 id, __u64 extent) {
  struct hotness_extent_key key = {.file = id, .extent = extent};
  struct hotness_extent *e = bpf_map_lookup_elem(&extents, &key);
  if (e) return e;
  struct hotness_extent fresh = {};
  fresh.born = bpf_ktime_get_ns();
  struct hotness_totals *t = get_totals();
  if (bpf_map_update_elem(&extents, &key, &fresh, BPF_NOEXIST) == 0 && t) t->extents_made++;
  e = bpf_map_lookup_elem(&extents, &key);
  if (!e && t) t->drops++;
  return e;
}

/* Global, so that the verifier looks at it once and not for each turn of the loop that calls it: 900 instructions
 * instead of 120,000. */
__attribute__((noinline)) int count_extent(__u64 id, __u64 extent, __u64 offset, __u64 end, __u64 weight) {
  struct hotness_extent *e = get_extent(id, extent);
  if (!e) return 0;
  __u64 start = extent << HOTNESS_EXTENT_SHIFT, stop = start + (1ull << HOTNESS_EXTENT_SHIFT);
  __u64 pages = hotness_pages_of(extent, offset, end);
  ADD(e->writes, weight);
  ADD(e->bytes, weight * ((end < stop ? end : stop) - (offset > start ? offset : start)));
  ADD(e->pages, weight * hotness_bits(pages));
  __u64 again = pages & e->touched;
  if (again) ADD(e->rewritten, weight * hotness_bits(again));
  e->again |= again; /* a bit lost in a race is set by the next write */
  e->touched |= pages;
  return 0;
}

/* `by_caller`: the current task is the writer. */
static __always_inline void count_write(__u64 id, __u64 offset, __u64 size, bool by_caller) {
  struct hotness_totals *t = get_totals();
  if (!t || size == 0) return;
  t->writes++;
  t->bytes += size;
  __u64 weight = weigh_event(t);
  if (weight == 0) return;
  struct hotness_file *f = get_file(id, t);
  if (f) {
    ADD(f->writes, weight);
    ADD(f->bytes, weight * size);
    if (f->next_offset == offset) ADD(f->sequential, weight);
    if (f->next_offset != ~0ull && offset + HOTNESS_TAIL < f->next_offset) ADD(f->back, weight);
    f->next_offset = offset + size;
    ADD(f->sizes[hotness_size_class(size) & (HOTNESS_SIZE_CLASSES - 1)], weight);
    if (by_caller) f->cgroup = bpf_get_current_cgroup_id();
  }
  __u64 end = offset + size, extent = offset >> HOTNESS_EXTENT_SHIFT, last = (end - 1) >> HOTNESS_EXTENT_SHIFT;
  for (int i = 0; i < HOTNESS_MAX_SPAN && extent <= last; i++, extent++) {
    count_extent(id, extent, offset, end, weight);
  }
  if (extent <= last) t->unspread += weight;
}

/* `value` is the request's first argument. */
static __always_inline int on_request(__u32 opcode, __u64 id, const void *value, bool by_caller) {
  struct fuse_write_in in = {};
  if (opcode == FUSE_WRITE) {
    if (bpf_probe_read_kernel(&in, sizeof in, value) != 0) return 0;
    if (!(in.write_flags & FUSE_WRITE_CACHE)) {
      count_write(id, in.offset, in.size, by_caller);
      return 0;
    }
  }
  struct hotness_totals *t = get_totals();
  __u64 weight = t ? weigh_event(t) : 0;
  struct hotness_file *f = weight ? get_file(id, t) : NULL;
  if (!f) return 0;
  if (opcode == FUSE_WRITE) {
    ADD(f->handed_over_bytes, weight * in.size);
  } else {
    ADD(f->fsyncs, weight);
  }
  return 0;
}

static __always_inline bool counts(__u32 opcode) { return opcode == FUSE_WRITE || opcode == FUSE_FSYNC; }

/* Programs with the kernel's types (tp_btf, fentry) follow pointers themselves; raw ones have to ask for each, which
 * costs several times as much. */
static __always_inline int on_request_typed(struct fuse_req *req, bool by_caller) {
  if (req->fm->fc->dev != our_device) return 0;
  __u32 opcode = req->in.h.opcode;
  return counts(opcode) ? on_request(opcode, req->in.h.nodeid, req->args->in_args[0].value, by_caller) : 0;
}

SEC("?tp_btf/fuse_request_send")
int BPF_PROG(request_tp, struct fuse_req *req) { return on_request_typed(req, true); }

SEC("?raw_tp/fuse_request_send")
int BPF_PROG(request_raw, struct fuse_req *req) {
  if (BPF_CORE_READ(req, fm, fc, dev) != our_device) return 0;
  __u32 opcode = BPF_CORE_READ(req, in.h.opcode);
  if (!counts(opcode)) return 0;
  return on_request(opcode, BPF_CORE_READ(req, in.h.nodeid), BPF_CORE_READ(req, args, in_args[0].value), true);
}

/* Before Linux 6.11 there is no such tracepoint. Seen from the daemon that answers: the writer is not known. */
SEC("?fentry/fuse_request_end")
int BPF_PROG(request_fentry, struct fuse_req *req) { return on_request_typed(req, false); }

static __always_inline __u64 id_of(struct inode *inode) {
  struct fuse_inode *fuse = (void *)inode - bpf_core_field_offset(struct fuse_inode, inode);
  return BPF_CORE_READ(fuse, nodeid);
}

static __always_inline struct call *call_of(__u32 thread) {
  __u32 place = thread & (CALLS - 1);
  return bpf_map_lookup_elem(&calls, &place);
}

static __always_inline void begin_call(struct inode *inode) {
  __u32 thread = (__u32)bpf_get_current_pid_tgid();
  struct call *call = call_of(thread);
  if (!call) return;
  call->thread = thread;
  call->inode = (__u64)inode;
}

static __always_inline void end_call(void) {
  __u32 thread = (__u32)bpf_get_current_pid_tgid();
  struct call *call = call_of(thread);
  if (call && call->thread == thread) call->inode = 0;
}

/* Since Linux 6.17 fuse's cached writes go through iomap: once with an empty map when the call begins, once more
 * before each further part of it and when nothing is left. */
static __always_inline int on_iomap(struct inode *inode, __u32 flags, __u64 mapped, __u64 offset, __u64 left) {
  if (!(flags & IOMAP_WRITE) || (flags & (IOMAP_ZERO | IOMAP_FAULT | IOMAP_DIRECT | IOMAP_UNSHARE))) return 0;
  if (mapped != 0) {
    if (left == 0) end_call();
    return 0;
  }
  begin_call(inode);
  count_write(id_of(inode), offset, left, true);
  return 0;
}

SEC("?tp_btf/iomap_iter")
int BPF_PROG(write_tp, struct iomap_iter *iter) {
  struct inode *inode = iter->inode;
  if (!inode || inode->i_sb->s_dev != our_device) return 0;
  return on_iomap(inode, iter->flags, iter->iomap.length, iter->pos, iter->len);
}

SEC("?raw_tp/iomap_iter")
int BPF_PROG(write_raw, struct iomap_iter *iter) {
  struct inode *inode = BPF_CORE_READ(iter, inode);
  if (!inode || BPF_CORE_READ(inode, i_sb, s_dev) != our_device) return 0;
  return on_iomap(inode, BPF_CORE_READ(iter, flags), BPF_CORE_READ(iter, iomap.length), BPF_CORE_READ(iter, pos),
                  BPF_CORE_READ(iter, len));
}

SEC("?fentry/fuse_file_write_iter")
int BPF_PROG(write_fentry, struct kiocb *iocb, struct iov_iter *from) {
  struct inode *inode = iocb->ki_filp->f_inode;
  if (!inode || inode->i_sb->s_dev != our_device || (iocb->ki_flags & IOCB_DIRECT)) return 0;
  begin_call(inode);
  count_write(id_of(inode), iocb->ki_pos, from->count, true);
  return 0;
}

SEC("?fexit/fuse_file_write_iter")
int BPF_PROG(write_fexit, struct kiocb *iocb) {
  struct inode *inode = iocb->ki_filp->f_inode;
  if (inode && inode->i_sb->s_dev == our_device) end_call();
  return 0;
}

static __always_inline int on_dirty(struct inode *inode, __u64 page) {
  __u32 thread = (__u32)bpf_get_current_pid_tgid();
  struct call *call = call_of(thread);
  if (call && call->thread == thread && call->inode == (__u64)inode) return 0;
  struct hotness_totals *t = get_totals();
  __u64 weight = t ? weigh_event(t) : 0;
  if (weight == 0) return 0;
  __u64 id = id_of(inode);
  struct hotness_file *f = get_file(id, t);
  if (f) {
    ADD(f->mapped_pages, weight);
    f->cgroup = bpf_get_current_cgroup_id();
  }
  struct hotness_extent *e = get_extent(id, page >> (HOTNESS_EXTENT_SHIFT - HOTNESS_PAGE_SHIFT));
  if (!e) return 0;
  __u64 bit = 1ull << (page & (HOTNESS_EXTENT_PAGES - 1));
  ADD(e->mapped_pages, weight);
  if (e->touched & bit) ADD(e->rewritten, weight);
  ADD(e->pages, weight);
  e->touched |= bit;
  e->again |= bit;
  return 0;
}

/* `mapping` may be null: the folio was truncated meanwhile. */
SEC("?tp_btf/writeback_dirty_folio")
int BPF_PROG(dirty_tp, struct folio *folio, struct address_space *mapping) {
  struct inode *inode = mapping ? mapping->host : NULL;
  return inode && inode->i_sb->s_dev == our_device ? on_dirty(inode, folio->index) : 0;
}

static __always_inline struct inode *our_inode(struct address_space *mapping) {
  struct inode *inode = mapping ? BPF_CORE_READ(mapping, host) : NULL;
  return inode && BPF_CORE_READ(inode, i_sb, s_dev) == our_device ? inode : NULL;
}

SEC("?raw_tp/writeback_dirty_folio")
int BPF_PROG(dirty_raw, struct folio *folio, struct address_space *mapping) {
  struct inode *inode = our_inode(mapping);
  return inode ? on_dirty(inode, BPF_CORE_READ(folio, index)) : 0;
}

/* Before Linux 5.18. */
SEC("?raw_tp/writeback_dirty_page")
int BPF_PROG(dirty_page_raw, struct page *page, struct address_space *mapping) {
  struct inode *inode = our_inode(mapping);
  return inode ? on_dirty(inode, BPF_CORE_READ(page, index)) : 0;
}
