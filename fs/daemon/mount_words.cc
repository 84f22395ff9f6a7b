#include "fs/daemon/mount_words.h"

#include <sys/mount.h>

#include <algorithm>
#include <array>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

namespace dkfs {
namespace {

struct FlagWord {
  std::string_view word;
  unsigned long set;
  unsigned long clear;
};
constexpr unsigned long kAtime = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
constexpr std::array<FlagWord, 24> kFlagWords = {{
    {"ro", MS_RDONLY, 0},
    {"rw", 0, MS_RDONLY},
    {"nosuid", MS_NOSUID, 0},
    {"suid", 0, MS_NOSUID},
    {"nodev", MS_NODEV, 0},
    {"dev", 0, MS_NODEV},
    {"noexec", MS_NOEXEC, 0},
    {"exec", 0, MS_NOEXEC},
    {"sync", MS_SYNCHRONOUS, 0},
    {"async", 0, MS_SYNCHRONOUS},
    {"dirsync", MS_DIRSYNC, 0},
    {"noatime", MS_NOATIME, kAtime},
    {"atime", 0, MS_NOATIME},
    {"relatime", MS_RELATIME, kAtime},
    {"norelatime", 0, MS_RELATIME},
    {"strictatime", MS_STRICTATIME, kAtime},
    {"nostrictatime", 0, MS_STRICTATIME},
    {"nodiratime", MS_NODIRATIME, 0},
    {"diratime", 0, MS_NODIRATIME},
    {"nosymfollow", MS_NOSYMFOLLOW, 0},
    {"symfollow", 0, MS_NOSYMFOLLOW},
    {"silent", MS_SILENT, 0},
    {"loud", 0, MS_SILENT},
    {"lazytime", MS_LAZYTIME, 0},
}};
constexpr std::array<std::string_view, 19> kSettings = {
    "store",          "order",          "retain",      "budget",
    "metrics-addr",   "hotness",        "btf",         "btf-cache",
    "btf-mirror",     "layouts",        "hints",       "hydrate-order",
    "hydrate-rate",   "io-uring",       "cpu-latency", "profiler-interval",
    "profiler-alpha", "profiler-dwell", "config"};
constexpr std::array<std::string_view, 14> kIgnored = {
    "defaults", "auto",  "noauto",  "nofail", "_netdev", "user",        "users",
    "nouser",   "owner", "noowner", "group",  "nogroup", "allow_other", "default_permissions"};

bool IsIgnored(std::string_view word) {
  return word.empty() || word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=") ||
         std::find(kIgnored.begin(), kIgnored.end(), word) != kIgnored.end();
}

const FlagWord* FindFlag(std::string_view word) {
  auto it = std::find_if(kFlagWords.begin(), kFlagWords.end(), [&](const FlagWord& f) { return f.word == word; });
  return it == kFlagWords.end() ? nullptr : &*it;
}

Status AddWord(std::string_view word, bool sloppy, MountWords* words) {
  if (IsIgnored(word)) return Status::Ok();
  if (FindFlag(word) != nullptr) {
    words->flags.emplace_back(word);
    return Status::Ok();
  }
  size_t equals = word.find('=');
  std::string_view key = word.substr(0, equals);
  if (equals != std::string_view::npos && std::find(kSettings.begin(), kSettings.end(), key) != kSettings.end()) {
    std::string value(word.substr(equals + 1));
    auto [it, inserted] = words->settings.try_emplace(std::string(key), value);
    if (inserted || it->second == value) return Status::Ok();
    return Status::Error(EINVAL, std::string(key) + " is given twice, with different values");
  }
  if (sloppy) return Status::Ok();
  return Status::Error(EINVAL, "unknown mount option '" + std::string(word) + "'");
}

}  // namespace

std::span<const std::string_view> SettingNames() { return kSettings; }

Status AddMountWords(std::string_view list, bool sloppy, MountWords* words) {
  while (true) {
    size_t comma = list.find(',');
    DKFS_TRY(AddWord(list.substr(0, comma), sloppy, words));
    if (comma == std::string_view::npos) return Status::Ok();
    list.remove_prefix(comma + 1);
  }
}

unsigned long MountFlagsOf(const std::vector<std::string>& flags, unsigned long given) {
  unsigned long bits = given;
  for (const std::string& word : flags) {
    const FlagWord* flag = FindFlag(word);
    bits = (bits & ~flag->clear) | flag->set;
  }
  return bits;
}

}  // namespace dkfs
