#include "fs/daemon/profile_report.h"

#include <algorithm>
#include <cstdio>

#include "fs/daemon/units.h"
#include "store/base/printable.h"

namespace dkfs {
namespace {

using nlohmann::json;

// A cost that is known, for a byte written; otherwise null.
json CostOf(const Profiler::Explanation& e, size_t choice) {
  return e.evidence[choice] > 0 ? json(e.cost[choice]) : json(nullptr);
}

json FileOf(const std::string& dir, const FileProfile& f) {
  const Profiler::Explanation& e = f.explanation;
  const bool listed = LayoutChoices()[e.choice] == e.layout;
  return {{"path", dir + "/" + f.path},
          {"file", f.file.value},
          {"bytes_per_second", e.bytes_per_second},
          {"writes", f.counts.writes},
          {"bytes", f.counts.bytes},
          {"sequential", f.counts.sequential},
          {"fsyncs", f.counts.fsyncs},
          {"mapped_pages", f.counts.mapped_pages},
          {"pages", f.pages.pages},
          {"rewritten_pages", f.pages.rewritten},
          {"context", e.context.ToString()},
          {"layout", LayoutText(e.layout)},
          {"layout_seconds", f.layout_age.count()},
          {"layout_changes", e.changes},
          {"reason", e.reason},
          {"cost", listed ? CostOf(e, e.choice) : json(nullptr)}};
}

std::string Text(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "-";
}

double Number(const json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}

std::string Cost(const json& object) {
  auto it = object.find("cost");
  if (it == object.end() || !it->is_number()) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", it->get<double>());
  return text;
}

std::string Rate(const json& file) {
  return FormatSize(static_cast<uint64_t>(Number(file, "bytes_per_second"))) + "/s";
}

std::string Column(const std::string& text, size_t width) {
  return text.size() >= width ? text + " " : text + std::string(width - text.size() + 1, ' ');
}

std::string Row(const std::string& rate, const std::string& writes, const std::string& cost, const std::string& layout,
                const std::string& path) {
  return Column(rate, 12) + Column(writes, 10) + Column(cost, 6) + Column(layout, 24) + path;
}

}  // namespace

json TopReport(const std::string& dir, const std::vector<FileProfile>& files) {
  json list = json::array();
  for (const FileProfile& file : files) list.push_back(FileOf(dir, file));
  return list;
}

json ExplainReport(const std::string& dir, const FileProfile& file, bool adapts) {
  const Profiler::Explanation& e = file.explanation;
  json out = FileOf(dir, file);
  out["adapts"] = adapts;
  json others = json::array();
  for (size_t i = 0; i < LayoutChoices().size(); ++i) {
    others.push_back({{"layout", LayoutText(LayoutChoices()[i])},
                      {"cost", CostOf(e, i)},
                      {"evidence", e.evidence[i]},
                      {"in_force", LayoutChoices()[i] == e.layout}});
  }
  out["layouts"] = std::move(others);
  return out;
}

std::string TopText(const json& files, size_t lines, size_t columns) {
  std::string out = Row("RATE", "WRITES", "COST", "LAYOUT", "FILE") + "\n";
  if (!files.is_array()) return out;
  for (const json& file : files) {
    if (--lines <= 1) break;
    std::string row = Row(Rate(file), std::to_string(static_cast<uint64_t>(Number(file, "writes"))), Cost(file),
                          Text(file, "layout"), Printable(Text(file, "path")));
    out += row.substr(0, columns) + "\n";
  }
  return out;
}

std::string ExplainText(const json& file) {
  const auto line = [](const char* name, const std::string& text) { return Column(name, 11) + text + "\n"; };
  std::string out = line("file", Printable(Text(file, "path"))) + line("rate", Rate(file)) +
                    line("written", Text(file, "context")) + line("layout", Text(file, "layout"));
  out += line("since", FormatDuration(std::chrono::seconds(static_cast<int64_t>(Number(file, "layout_seconds")))) +
                           ", changed " + std::to_string(static_cast<uint64_t>(Number(file, "layout_changes"))) +
                           " times in this mount");
  out += line("because", Text(file, "reason"));
  auto adapts = file.find("adapts");
  if (adapts != file.end() && *adapts == false)
    out += line("", "(--layouts fixed: nothing but hints changes a layout)");
  out += "cost for a byte written, of files written alike; how sure of it\n";
  auto layouts = file.find("layouts");
  if (layouts == file.end() || !layouts->is_array()) return out;
  for (const json& one : *layouts) {
    auto in_force = one.find("in_force");
    const bool marked = in_force != one.end() && *in_force == true;
    out += (marked ? "* " : "  ") + Column(Text(one, "layout"), 24) + Column(Cost(one), 6) +
           std::to_string(static_cast<int>(Number(one, "evidence") * 100)) + " %\n";
  }
  return out;
}

}  // namespace dkfs
