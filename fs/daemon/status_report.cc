#include "fs/daemon/status_report.h"

#include <time.h>
#include <unistd.h>

#include "fs/daemon/units.h"

namespace dkfs {
namespace {

using nlohmann::json;

std::string StateOf(const DaemonReport& report) {
  if (report.degraded()) return "degraded";
  if (report.finishing) return "unmounting";
  if (report.adopting) return "adopting";
  return report.hydration.done ? "healthy" : "hydrating";
}

json TimeText(const TimeSpec& t) {
  if (t.sec == 0) return nullptr;
  time_t seconds = t.sec;
  struct tm parts {};
  gmtime_r(&seconds, &parts);
  char text[64];
  size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + n, sizeof text - n, ".%03uZ", t.nsec / 1'000'000);
  return text;
}

double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole);
}

json HydrationOf(const DaemonReport& report) {
  const HydrateProgress& h = report.hydration;
  return {{"done", h.done},
          {"files_total", h.files_total},
          {"files_done", h.files_done},
          {"bytes_total", h.bytes_total},
          {"bytes_done", h.bytes_done},
          {"hot_extents_total", h.hot_total},
          {"hot_extents_done", h.hot_done},
          {"blocks_reconstructed", h.blocks_reconstructed},
          {"blocks_verified", h.blocks_verified},
          {"blocks_damaged", h.blocks_damaged},
          {"aside_bytes", h.aside_bytes},
          {"aside_entries", h.aside_entries},
          {"deferred_bytes", h.deferred_bytes},
          {"estimate_seconds", h.done                   ? json(0)
                               : h.estimate.count() > 0 ? json(h.estimate.count())
                                                        : json(nullptr)}};
}

json StoreOf(const StoreStatus& s) {
  return {{"bytes", s.store_bytes},
          {"journal_bytes", s.journal_bytes},
          {"pack_bytes", s.pack_bytes},
          {"index_bytes", s.index_bytes},
          {"budget_bytes", s.budget_bytes},
          {"unindexed_bytes", s.queue_bytes},
          {"records", s.records},
          {"record_bytes", s.record_bytes},
          {"expanded_bytes", s.expanded_bytes},
          {"syncs", s.syncs},
          {"packed_segments", s.packed_segments}};
}

json HotnessOf(const HotnessStatus& h) {
  json probes = json::array();
  for (const ProbeStatus& probe : h.probes) {
    probes.push_back({{"probe", probe.probe},
                      {"attach", probe.attach.empty() ? json(nullptr) : json(probe.attach)},
                      {"reason", probe.reason}});
  }
  return {{"source", h.source},
          {"reason", h.reason},
          {"btf", h.btf.empty() ? json(nullptr) : json(h.btf)},
          {"probes", std::move(probes)},
          {"events", h.totals.events},
          {"writes", h.totals.writes},
          {"bytes", h.totals.bytes},
          {"files", h.files},
          {"extents", h.extents},
          {"evicted", h.evicted},
          {"drops", h.totals.drops},
          {"skipped", h.totals.skipped},
          {"unspread", h.totals.unspread},
          {"run_count", h.run_count},
          {"run_time_ns", h.run_time_ns}};
}

std::string TextAt(const json& object, const char* key, const char* missing = "-") {
  auto it = object.find(key);
  if (it == object.end() || it->is_null()) return missing;
  return it->is_string() ? it->get<std::string>() : it->dump();
}

uint64_t NumberAt(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_number_unsigned() ? it->get<uint64_t>()
         : it != object.end() && it->is_number_integer()
             ? static_cast<uint64_t>(std::max<int64_t>(it->get<int64_t>(), 0))
             : 0;
}

json ObjectAt(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_object() ? *it : json::object();
}

std::string HydrationText(const json& h) {
  if (TextAt(h, "done") == "true") {
    const uint64_t deferred = NumberAt(h, "deferred_bytes");
    return deferred == 0 ? "complete" : "complete, " + FormatSize(deferred) + " of long writes to come";
  }
  std::string text = FormatSize(NumberAt(h, "bytes_done")) + " of " + FormatSize(NumberAt(h, "bytes_total"));
  uint64_t left = NumberAt(h, "estimate_seconds");
  return left == 0 ? text : text + ", about " + FormatDuration(std::chrono::seconds(left)) + " left";
}

std::string TransportText(const json& t) { return TextAt(t, "kind") + " (" + TextAt(t, "reason") + ")"; }

std::string CpuLatencyText(const json& c) {
  const std::string us = TextAt(c, "us", "");
  const std::string what =
      us.empty() ? "not asked for" : us + " us " + (TextAt(c, "held") == "true" ? "now" : "when busy");
  return what + " (" + TextAt(c, "reason") + ")";
}

std::string HotnessText(const json& h) {
  std::string text = TextAt(h, "source") + " (" + TextAt(h, "reason") + ")";
  auto probes = h.find("probes");
  if (probes == h.end() || !probes->is_array()) return text;
  for (const json& probe : *probes) {
    if (!probe.is_object() || TextAt(probe, "attach", "").empty()) continue;
    text += ", " + TextAt(probe, "attach");
  }
  return text;
}

}  // namespace

json StatusReport(const DaemonReport& report) {
  const StoreStatus& s = report.store;
  uint64_t protected_bytes = report.total_bytes - std::min(report.unprotected_bytes, report.total_bytes);
  return {{"state", StateOf(report)},
          {"dir", report.places.dir},
          {"store_path", report.places.store},
          {"pid", getpid()},
          {"version", DKFS_VERSION},
          {"uptime_seconds", report.uptime.count()},
          {"order", report.order == Order::kFsync ? "fsync" : "calls"},
          {"seq",
           {{"captured", s.captured.value},
            {"appended", s.appended.value},
            {"synced", s.synced.value},
            {"indexed", s.indexed.value},
            {"flushed", s.flushed.value}}},
          {"protected",
           {{"share", report.protection_known ? Share(protected_bytes, report.total_bytes) : 0.0},
            {"bytes_waiting", report.protection_known ? json(report.unprotected_bytes) : json(nullptr)}}},
          {"hydration", HydrationOf(report)},
          {"store", StoreOf(s)},
          {"transport",
           {{"kind", report.transport.io_uring ? "io_uring" : "dev_fuse"},
            {"reason", report.transport.reason},
            {"ring_requests", report.transport.ring_requests}}},
          {"cpu_latency",
           {{"us", report.cpu_latency.used ? json(report.cpu_latency.us) : json(nullptr)},
            {"reason", report.cpu_latency.reason},
            {"held", report.cpu_latency.held},
            {"held_seconds", std::chrono::duration<double>(report.cpu_latency.held_time).count()}}},
          {"hotness", HotnessOf(report.hotness)},
          {"retention",
           {{"retain_seconds", s.retain.count()},
            {"oldest_seq", s.oldest.value},
            {"oldest_time", TimeText(s.oldest_time)}}},
          {"error", s.error.ok() ? json(nullptr) : json(s.error.ToString())},
          {"last_error", report.last_error.empty() ? json(nullptr) : json(report.last_error)}};
}

std::string StatusText(const json& status) {
  json seq = ObjectAt(status, "seq"), store = ObjectAt(status, "store"), retention = ObjectAt(status, "retention");
  json guarded = ObjectAt(status, "protected");
  auto share = guarded.find("share");
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.1f %%",
                100 * (share != guarded.end() && share->is_number() ? share->get<double>() : 0));
  std::string text;
  auto line = [&](const char* name, const std::string& value) {
    text += std::string(name) + std::string(12 - std::string_view(name).size(), ' ') + value + "\n";
  };
  line("state", TextAt(status, "state"));
  line("directory", TextAt(status, "dir"));
  line("order", TextAt(status, "order"));
  line("seq", "captured " + TextAt(seq, "captured") + ", appended " + TextAt(seq, "appended") + ", synced " +
                  TextAt(seq, "synced") + ", indexed " + TextAt(seq, "indexed"));
  line("protected", percent);
  line("hydration", HydrationText(ObjectAt(status, "hydration")));
  line("store", TextAt(status, "store_path") + ", " + FormatSize(NumberAt(store, "bytes")) + " of " +
                    FormatSize(NumberAt(store, "budget_bytes")));
  line("transport", TransportText(ObjectAt(status, "transport")));
  line("cpu latency", CpuLatencyText(ObjectAt(status, "cpu_latency")));
  line("hotness", HotnessText(ObjectAt(status, "hotness")));
  line("retention", FormatDuration(std::chrono::seconds(NumberAt(retention, "retain_seconds"))) + ", back to " +
                        TextAt(retention, "oldest_time"));
  line("error", TextAt(status, "error", "none"));
  line("last error", TextAt(status, "last_error", "none"));
  line("daemon", "pid " + TextAt(status, "pid") + ", version " + TextAt(status, "version"));
  return text;
}

}  // namespace dkfs
