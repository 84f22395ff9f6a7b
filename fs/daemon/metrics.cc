#include "fs/daemon/metrics.h"

#include <netdb.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>
#include <sys/socket.h>

#include <cstring>
#include <limits>
#include <memory>

#include "fs/daemon/daemon.h"
#include "store/base/file.h"

namespace dkfs {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kNsPerSecond = 1e9;

using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  MetricFamily& Add(const std::string& name, const std::string& help, MetricType type) {
    return families_.emplace_back(MetricFamily{name, help, type, {}});
  }
  void Counter(const std::string& name, const std::string& help, uint64_t value) {
    Add(name, help, MetricType::Counter).metric.push_back(Count(static_cast<double>(value)));
  }
  void Gauge(const std::string& name, const std::string& help, double value) {
    Add(name, help, MetricType::Gauge).metric.push_back(Value(value, {}));
  }
  static ClientMetric Count(double value) {
    ClientMetric metric;
    metric.counter.value = value;
    return metric;
  }
  static ClientMetric Counted(uint64_t value, Labels labels) {
    ClientMetric metric = Count(static_cast<double>(value));
    metric.label = std::move(labels);
    return metric;
  }
  static ClientMetric Value(double value, Labels labels) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    return metric;
  }
  std::vector<MetricFamily> Take() { return std::move(families_); }

 private:
  std::vector<MetricFamily> families_;
};

// `counts` are not cumulative and have one more element than `bounds`; `unit` of them make one of what is shown.
template <size_t N>
ClientMetric HistogramOf(const std::array<uint64_t, N>& bounds, const std::array<uint64_t, N + 1>& counts, uint64_t sum,
                         double unit, Labels labels) {
  ClientMetric metric;
  metric.label = std::move(labels);
  uint64_t cumulative = 0;
  for (size_t b = 0; b < counts.size(); ++b) {
    cumulative += counts[b];
    double bound = b < N ? static_cast<double>(bounds[b]) / unit : std::numeric_limits<double>::infinity();
    metric.histogram.bucket.push_back({cumulative, bound});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = static_cast<double>(sum) / unit;
  return metric;
}

void AddRequests(const RequestSnapshot& requests, Families* out) {
  MetricFamily total{"dkfs_fuse_requests_total", "FUSE requests answered", MetricType::Counter, {}};
  MetricFamily errors{
      "dkfs_fuse_request_errors_total", "FUSE requests answered with an errno", MetricType::Counter, {}};
  MetricFamily duration{
      "dkfs_fuse_request_duration_seconds", "Time from decoding to the answer", MetricType::Histogram, {}};
  for (size_t i = 0; i < kFuseOps; ++i) {
    Labels labels = {{"op", std::string(FuseOpName(static_cast<FuseOp>(i)))}};
    ClientMetric metric;
    metric.label = labels;
    metric.counter.value = static_cast<double>(requests[i].requests);
    total.metric.push_back(metric);
    metric.counter.value = static_cast<double>(requests[i].errors);
    errors.metric.push_back(std::move(metric));
    duration.metric.push_back(
        HistogramOf(kLatencyBoundsNs, requests[i].buckets, requests[i].total_ns, kNsPerSecond, std::move(labels)));
  }
  for (MetricFamily* family : {&total, &errors, &duration}) {
    out->Add(family->name, family->help, family->type).metric = std::move(family->metric);
  }
}

void AddStore(const StoreStatus& s, Families* out) {
  out->Counter("dkfs_blueshift_records_total", "Records appended to the journal", s.records);
  out->Counter("dkfs_blueshift_appended_bytes_total", "Bytes of records appended to the journal", s.record_bytes);
  out->Counter("dkfs_blueshift_expanded_bytes_total", "The same before compression", s.expanded_bytes);
  out->Gauge("dkfs_index_lag_records", "Records appended but not indexed yet",
             static_cast<double>(s.appended.value - std::min(s.indexed.value, s.appended.value)));
  out->Gauge("dkfs_index_lag_bytes", "Bytes of records not indexed yet", static_cast<double>(s.queue_bytes));
  MetricFamily& bytes = out->Add("dkfs_store_bytes", "What the store takes on its disk", MetricType::Gauge);
  uint64_t known = s.journal_bytes + s.pack_bytes + s.index_bytes;
  bytes.metric = {
      Families::Value(static_cast<double>(s.journal_bytes), {{"part", "journal"}}),
      Families::Value(static_cast<double>(s.pack_bytes), {{"part", "packs"}}),
      Families::Value(static_cast<double>(s.index_bytes), {{"part", "index"}}),
      Families::Value(static_cast<double>(s.store_bytes - std::min(known, s.store_bytes)), {{"part", "other"}})};
  out->Gauge("dkfs_store_budget_bytes", "Most the store may take", static_cast<double>(s.budget_bytes));
  out->Counter("dkfs_store_packed_segments_total", "Segments packed", s.packed_segments);
  out->Counter("dkfs_store_deleted_segments_total", "Segments deleted", s.deleted_segments);
}

void AddSyncs(const SyncSnapshot& syncs, Families* out) {
  out->Add("dkfs_journal_sync_duration_seconds", "Device flushes of the journal", MetricType::Histogram).metric = {
      HistogramOf(kLatencyBoundsNs, syncs.durations, syncs.total_ns, kNsPerSecond, {})};
  out->Add("dkfs_journal_group_commit_size", "Barriers answered by one flush", MetricType::Histogram).metric = {
      HistogramOf(kGroupBounds, syncs.groups, syncs.barriers, 1, {})};
}

void AddHydration(const HydrateProgress& h, Families* out) {
  out->Counter("dkfs_redshift_blocks_hydrated_total", "Blocks reconstructed into the backing directory",
               h.blocks_reconstructed);
  out->Gauge("dkfs_redshift_hot_extents_remaining", "Hot extents, which come first, not looked at yet",
             h.hot_total - h.hot_done);
  out->Counter("dkfs_redshift_blocks_verified_total", "Blocks found right as they stood", h.blocks_verified);
  out->Counter("dkfs_redshift_blocks_damaged_total", "Blocks that the store could not give", h.blocks_damaged);
  out->Counter("dkfs_redshift_bytes_total", "Bytes of content that are in the backing directory again", h.bytes_done);
  out->Gauge("dkfs_redshift_remaining_bytes", "Bytes of content not looked at yet",
             static_cast<double>(h.bytes_total - std::min(h.bytes_done, h.bytes_total)));
  out->Gauge("dkfs_redshift_remaining_seconds", "Estimate until hydration is done",
             static_cast<double>(h.estimate.count()));
  out->Gauge("dkfs_redshift_deferred_bytes", "Bytes of long writes that are not yet in the backing directory",
             static_cast<double>(h.deferred_bytes));
  out->Gauge("dkfs_redshift_aside_bytes", "Bytes moved aside in this mount", static_cast<double>(h.aside_bytes));
}

void AddLayouts(const LayoutChanges& changes, Families* out) {
  out->Add("dkfs_layout_changes_total", "Files given another layout, and new files that began with one",
           MetricType::Counter)
      .metric = {Families::Counted(changes.by_profiler, {{"by", "profiler"}}),
                 Families::Counted(changes.by_hint, {{"by", "hint"}}),
                 Families::Counted(changes.of_new, {{"by", "kind"}})};
}

void AddTransport(const Transport& t, Families* out) {
  const std::string kind = t.io_uring ? "io_uring" : "dev_fuse";
  out->Add("dkfs_fuse_transport", "1 for how requests come from the kernel: io_uring or dev_fuse", MetricType::Gauge)
      .metric = {Families::Value(1, {{"transport", kind}, {"reason", t.reason}})};
  out->Counter("dkfs_fuse_ring_requests_total", "Requests that came through io_uring", t.ring_requests);
}

void AddHotness(const HotnessStatus& h, Families* out) {
  out->Add("dkfs_hotness_source", "1 for who measures how files are written: bpf, fuse or off", MetricType::Gauge)
      .metric = {Families::Value(1, {{"source", h.source}, {"reason", h.reason}, {"btf", h.btf}})};
  MetricFamily& probes =
      out->Add("dkfs_hotness_probe", "1 when the probe is attached; where, and what was refused", MetricType::Gauge);
  for (const ProbeStatus& p : h.probes) {
    probes.metric.push_back(
        Families::Value(p.attach.empty() ? 0 : 1, {{"probe", p.probe}, {"attach", p.attach}, {"reason", p.reason}}));
  }
  out->Counter("dkfs_hotness_events_total", "Writes, dirtied pages and fsyncs seen", h.totals.events);
  out->Counter("dkfs_hotness_skipped_total", "Events that others were counted for", h.totals.skipped);
  out->Counter("dkfs_hotness_drops_total", "Events without a place in a table", h.totals.drops);
  out->Counter("dkfs_hotness_evicted_total", "Entries that others pushed out of a table", h.evicted);
  out->Counter("dkfs_hotness_runs_total", "Runs of the BPF programs while the kernel kept statistics", h.run_count);
  out->Add("dkfs_hotness_run_seconds_total", "What these runs took", MetricType::Counter).metric = {
      Families::Count(static_cast<double>(h.run_time_ns) / kNsPerSecond)};
}

void AddCpuLatency(const CpuLatencyStatus& c, Families* out) {
  out->Add("dkfs_cpu_latency_held", "1 while the kernel is asked to keep idle CPUs awake; what for, or why not",
           MetricType::Gauge)
      .metric = {Families::Value(c.held ? 1 : 0, {{"reason", c.reason}})};
  out->Add("dkfs_cpu_latency_held_seconds_total", "How long it has been asked for that", MetricType::Counter).metric = {
      Families::Count(std::chrono::duration<double>(c.held_time).count())};
}

class Collector : public prometheus::Collectable {
 public:
  explicit Collector(const Daemon* daemon) : daemon_(daemon) {}
  std::vector<MetricFamily> Collect() const override {
    DaemonReport report = daemon_->Report();
    Families out;
    AddRequests(report.requests, &out);
    AddTransport(report.transport, &out);
    AddCpuLatency(report.cpu_latency, &out);
    AddStore(report.store, &out);
    AddSyncs(report.syncs, &out);
    AddHydration(report.hydration, &out);
    AddHotness(report.hotness, &out);
    AddLayouts(report.layout_changes, &out);
    if (report.protection_known) {
      out.Gauge("dkfs_unprotected_bytes", "Adopted content not captured yet; absent until it has been counted",
                static_cast<double>(report.unprotected_bytes));
    }
    out.Gauge("dkfs_degraded", "1 when the store or content is damaged or cannot take changes",
              report.degraded() ? 1 : 0);
    out.Add("dkfs_build_info", "The version that runs", MetricType::Gauge).metric = {
        Families::Value(1, {{"version", DKFS_VERSION}})};
    return out.Take();
  }

 private:
  const Daemon* const daemon_;
};

// What keeps anybody from listening at HOST:PORT: prometheus-cpp does not say why it could not.
Status WhyNot(const std::string& address) {
  const std::string what = "serving metrics at " + address;
  const size_t colon = address.rfind(':');
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) return Status::Error(EADDRNOTAVAIL, what + ": no IPv4 address (" + ::gai_strerror(error) + ")");
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0) return Status::FromErrno(what);
  return Status::Error(EADDRINUSE, what);  // it was, a moment ago
}

}  // namespace

class Metrics::Impl {
 public:
  Impl(const std::string& address, const Daemon* daemon)
      : collector_(std::make_shared<Collector>(daemon)), exposer_(address, 1) {
    exposer_.RegisterCollectable(collector_);
  }

 private:
  std::shared_ptr<Collector> collector_;
  prometheus::Exposer exposer_;
};

Metrics::Metrics(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Metrics::~Metrics() = default;

Result<std::unique_ptr<Metrics>> Metrics::Start(const std::string& address, const Daemon* daemon) {
  if (address.empty()) return std::unique_ptr<Metrics>();
  try {
    return std::unique_ptr<Metrics>(new Metrics(std::make_unique<Impl>(address, daemon)));
  } catch (const std::exception&) {  // prometheus-cpp reports nothing but by exceptions, and gives no reason
    return WhyNot(address);
  }
}

}  // namespace dkfs
