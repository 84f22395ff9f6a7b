#include "fs/hotness/probes.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <hotness.skel.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <optional>

#include "store/base/log.h"

namespace dkfs {
namespace {

struct Variant {
  const char* attach;  // for people
  std::array<const char*, 2> programs;
};
struct ProbeKind {
  const char* name;
  std::vector<Variant> variants;  // best first
};

// request: the tracepoint runs in the writer, fentry/fuse_request_end in the daemon. write: fentry sees every kernel's
// write calls, iomap those since Linux 6.17. Raw tracepoints need no types of the running kernel, only a file with
// them.
const std::vector<ProbeKind>& Kinds() {
  static const std::vector<ProbeKind> kinds = {{"request",
                                                {{"tp_btf/fuse_request_send", {"request_tp"}},
                                                 {"fentry/fuse_request_end", {"request_fentry"}},
                                                 {"raw_tp/fuse_request_send", {"request_raw"}}}},
                                               {"write",
                                                {{"fentry/fuse_file_write_iter", {"write_fentry", "write_fexit"}},
                                                 {"tp_btf/iomap_iter", {"write_tp"}},
                                                 {"raw_tp/iomap_iter", {"write_raw"}}}},
                                               {"dirty",
                                                {{"tp_btf/writeback_dirty_folio", {"dirty_tp"}},
                                                 {"raw_tp/writeback_dirty_folio", {"dirty_raw"}},
                                                 {"raw_tp/writeback_dirty_page", {"dirty_page_raw"}}}}};
  return kinds;
}

int LogLibbpf(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG || !LogEnabled(LogLevel::kDebug)) return 0;
  char text[512];
  std::vsnprintf(text, sizeof text, format, args);
  Log(LogLevel::kDebug, "libbpf", {{"text", text}});
  return 0;
}

struct SkeletonDeleter {
  void operator()(hotness_bpf* skeleton) const { hotness_bpf__destroy(skeleton); }
};
struct LinkDeleter {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Skeleton = std::unique_ptr<hotness_bpf, SkeletonDeleter>;
using Link = std::unique_ptr<bpf_link, LinkDeleter>;

// Some programs, loaded and attached; all objects share the maps of the first.
struct Attached {
  Skeleton skeleton;
  std::vector<bpf_program*> programs;
  std::vector<Link> links;  // destroyed first
};

int ShareMaps(const Skeleton& skeleton, const hotness_bpf* first) {
  if (first == nullptr) return 0;
  const auto& mine = skeleton->maps;
  const auto& theirs = first->maps;
  for (auto [to, from] : {std::pair(mine.files, theirs.files), std::pair(mine.extents, theirs.extents),
                          std::pair(mine.totals, theirs.totals), std::pair(mine.calls, theirs.calls)}) {
    if (int error = bpf_map__reuse_fd(to, bpf_map__fd(from)); error != 0) return error;
  }
  return 0;
}

Result<Attached> TryVariant(const Variant& variant, const ProbeOptions& options, const hotness_bpf* first) {
  LIBBPF_OPTS(bpf_object_open_opts, open_options);
  if (!options.btf.empty()) open_options.btf_custom_path = options.btf.c_str();
  Attached out;
  out.skeleton.reset(hotness_bpf__open_opts(&open_options));
  if (out.skeleton == nullptr) return Status::FromErrno("opening");
  out.skeleton->rodata->our_device = options.device;
  for (const char* name : variant.programs) {
    if (name == nullptr) continue;
    bpf_program* program = bpf_object__find_program_by_name(out.skeleton->obj, name);
    if (program == nullptr) return Status::Error(ENOENT, "opening");
    bpf_program__set_autoload(program, true);
    out.programs.push_back(program);
  }
  if (int error = ShareMaps(out.skeleton, first); error != 0) return Status::Error(-error, "sharing maps");
  if (int error = hotness_bpf__load(out.skeleton.get()); error != 0) return Status::Error(-error, "loading");
  for (bpf_program* program : out.programs) {
    out.links.emplace_back(bpf_program__attach(program));
    if (out.links.back() == nullptr) return Status::FromErrno("attaching");
  }
  return out;
}

template <class Key, class Value, class Each>
Status ReadMap(int fd, Each&& each) {
  constexpr uint32_t kBatch = 2048;  // more than a hash bucket ever holds
  std::vector<Key> keys(kBatch);
  std::vector<Value> values(kBatch);
  uint64_t in = 0, out = 0;  // the kernel's cursor: at most a key's first four bytes are used
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  for (bool more = true, begun = false; more; begun = true, in = out) {
    uint32_t count = kBatch;
    int error = bpf_map_lookup_batch(fd, begun ? &in : nullptr, &out, keys.data(), values.data(), &count, &options);
    if (error != 0 && error != -ENOENT) return Status::Error(-error, "reading a map of the probes");
    for (uint32_t i = 0; i < count; ++i) each(keys[i], values[i]);
    more = error == 0;
  }
  return Status::Ok();
}

struct BtfDeleter {
  void operator()(btf* types) const { btf__free(types); }
};

}  // namespace

struct Probes::Impl {
  std::vector<Attached> attached;  // the first owns the maps
  HotnessStatus status;

  const hotness_bpf* first() const { return attached.empty() ? nullptr : attached[0].skeleton.get(); }

  // Attaches the best variant that the kernel takes; the error of the last when it takes none.
  Status Choose(const ProbeKind& kind, const ProbeOptions& options) {
    ProbeStatus chosen{kind.name, "", ""};
    Status last = Status::Ok();
    for (const Variant& variant : kind.variants) {
      auto tried = TryVariant(variant, options, first());
      if (tried.ok()) {
        attached.push_back(std::move(tried).value());
        chosen.attach = variant.attach;
        if (chosen.reason.empty()) chosen.reason = "the best there is";
        status.probes.push_back(std::move(chosen));
        return Status::Ok();
      }
      last = tried.status();
      chosen.reason += (chosen.reason.empty() ? "" : "; ") + std::string(variant.attach) + ": " + last.ToString();
    }
    last = Status::Error(last.code(), chosen.reason);
    status.probes.push_back(std::move(chosen));
    return last;
  }

  Status CountEntries(HotnessStatus* out) const {
    DKFS_TRY((ReadMap<uint64_t, hotness_file>(bpf_map__fd(first()->maps.files),
                                              [&](const auto&, const auto&) { ++out->files; })));
    return ReadMap<hotness_extent_key, hotness_extent>(bpf_map__fd(first()->maps.extents),
                                                       [&](const auto&, const auto&) { ++out->extents; });
  }

  void AddTotals(HotnessStatus* out) const {
    std::vector<hotness_totals> cpus(static_cast<size_t>(std::max(libbpf_num_possible_cpus(), 1)));
    uint32_t zero = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(first()->maps.totals), &zero, cpus.data()) != 0) return;
    for (const hotness_totals& cpu : cpus) {
      out->totals.events += cpu.events;
      out->totals.skipped += cpu.skipped;
      out->totals.writes += cpu.writes;
      out->totals.bytes += cpu.bytes;
      out->totals.files_made += cpu.files_made;
      out->totals.extents_made += cpu.extents_made;
      out->totals.drops += cpu.drops;
      out->totals.unspread += cpu.unspread;
    }
  }

  void AddRunTime(HotnessStatus* out) const {
    for (const Attached& part : attached) {
      for (const bpf_program* program : part.programs) {
        bpf_prog_info info{};
        uint32_t size = sizeof info;
        if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) continue;
        out->run_count += info.run_cnt;
        out->run_time_ns += info.run_time_ns;
      }
    }
  }
};

Probes::Probes(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Probes::~Probes() = default;

Result<std::unique_ptr<Probes>> Probes::Attach(const ProbeOptions& options) {
  static std::once_flag once;
  std::call_once(once, [] {
    libbpf_set_print(LogLibbpf);
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
  });
  auto impl = std::make_unique<Impl>();
  impl->status.source = "bpf";
  impl->status.btf = options.btf.empty() ? "kernel" : options.btf;
  for (const ProbeKind& kind : Kinds()) {
    const bool is_request = impl->attached.empty();
    if (kind.name == std::string("write") && !options.cache_absorbs) {
      impl->status.probes.push_back({"write", "", "not needed: with order=calls each write is a request"});
      continue;
    }
    Status chosen = impl->Choose(kind, options);
    if (!chosen.ok() && is_request) return chosen;
  }
  return std::unique_ptr<Probes>(new Probes(std::move(impl)));
}

Result<HotnessCounts> Probes::Read() const {
  HotnessCounts out;
  const auto& maps = impl_->first()->maps;
  DKFS_TRY((ReadMap<uint64_t, hotness_file>(bpf_map__fd(maps.files), [&](uint64_t file, const auto& value) {
    out.files.push_back({FileId(file), value});
  })));
  DKFS_TRY((ReadMap<hotness_extent_key, hotness_extent>(bpf_map__fd(maps.extents), [&](const auto& key, const auto& v) {
    out.extents.push_back({FileId(key.file), key.extent, v});
  })));
  return out;
}

HotnessStatus Probes::status() const {
  HotnessStatus out = impl_->status;
  impl_->AddTotals(&out);
  impl_->AddRunTime(&out);
  if (impl_->CountEntries(&out).ok()) {
    const uint64_t made = out.totals.files_made + out.totals.extents_made, live = out.files + out.extents;
    out.evicted = made - std::min(live, made);
  }
  return out;
}

Status CheckBtf(const std::string& path) {
  std::unique_ptr<btf, BtfDeleter> types(btf__parse(path.c_str(), nullptr));
  if (types == nullptr) return Status::Error(errno == 0 ? EINVAL : errno, path + ": no kernel types (BTF)");
  for (const char* name : {"task_struct", "inode", "super_block", "address_space"}) {
    if (btf__find_by_name_kind(types.get(), name, BTF_KIND_STRUCT) < 0) {
      return Status::Error(EINVAL, path + ": types (BTF), but not a kernel's: no struct " + name);
    }
  }
  return Status::Ok();
}

}  // namespace dkfs
