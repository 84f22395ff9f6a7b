// The command line in its normal form, and mount(8)'s helper arguments in ours.
#include <algorithm>
#include <array>

#include "fs/daemon/mount_words.h"
#include "fs/daemon/options.h"

namespace dkfs {
namespace {

bool TakesValue(std::string_view arg) {
  if (arg == "--options" || arg == "-o") return true;
  const auto names = SettingNames();
  return arg.starts_with("--") && std::find(names.begin(), names.end(), arg.substr(2)) != names.end();
}

// `list` without its store= words.
std::string WithoutStore(std::string_view list) {
  std::string kept;
  while (true) {
    size_t comma = list.find(',');
    std::string_view word = list.substr(0, comma);
    if (!word.starts_with("store=") && !word.empty()) {
      if (!kept.empty()) kept += ',';
      kept += word;
    }
    if (comma == std::string_view::npos) return kept;
    list.remove_prefix(comma + 1);
  }
}

void AddWordList(std::string_view list, std::vector<std::string>* out) {
  std::string kept = WithoutStore(list);
  if (!kept.empty()) out->insert(out->end(), {"-o", kept});
}

// Takes one of the user's arguments at args[i]; returns the index behind it.
size_t TakeArgument(const std::vector<std::string>& args, size_t i, const std::string& dir,
                    std::vector<std::string>* out) {
  const std::string& arg = args[i];
  bool more = i + 1 < args.size();
  if (arg == "--store") return i + 2;
  if (arg.starts_with("--store=")) return i + 1;
  if ((arg == "-o" || arg == "--options") && more) {
    AddWordList(args[i + 1], out);
    return i + 2;
  }
  if (arg.starts_with("--options=")) {
    AddWordList(std::string_view(arg).substr(10), out);
    return i + 1;
  }
  if (arg.starts_with("-o") && arg.size() > 2) {
    AddWordList(std::string_view(arg).substr(2), out);
    return i + 1;
  }
  if (TakesValue(arg) && more) {
    out->insert(out->end(), {arg, args[i + 1]});
    return i + 2;
  }
  out->push_back(arg.starts_with('-') ? arg : dir);
  return i + 1;
}

constexpr std::string_view kHelperUsage = "usage: mount.dkfs STORE DIR [-sfnv] [-o OPT,...]";

// What mount(8) gives its helper.
struct HelperWords {
  std::vector<std::string> plain, lists;
  bool sloppy = false;
  bool fake = false;
};

Result<HelperWords> ParseHelperWords(const std::vector<std::string>& args) {
  HelperWords words;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& arg = args[i];
    if (arg == "-o" || arg == "-t" || arg == "-N") {
      if (++i == args.size()) return Status::Error(EINVAL, arg + " needs a value");
      if (arg == "-o") words.lists.push_back(args[i]);
    } else if (arg.size() > 1 && arg[0] == '-' && arg.find_first_not_of("sfnvrw", 1) == std::string::npos) {
      words.sloppy = words.sloppy || arg.find('s') != std::string::npos;
      words.fake = words.fake || arg.find('f') != std::string::npos;
      if (arg.find('r') != std::string::npos) words.lists.emplace_back("ro");
    } else if (arg.starts_with('-')) {
      return Status::Error(EINVAL, "unknown option '" + arg + "' (" + std::string(kHelperUsage) + ")");
    } else {
      words.plain.push_back(arg);
    }
  }
  if (words.plain.size() != 2) return Status::Error(EINVAL, std::string(kHelperUsage));
  return words;
}

// Takes "remount", and the words the kernel shows of every FUSE mount, out of `list`. True: it was there.
bool TakeRemount(std::string* list) {
  constexpr std::array<std::string_view, 4> kShown = {"user_id=", "group_id=", "max_read=", "blksize="};
  bool remount = false;
  std::string kept;
  for (std::string_view rest = *list; !rest.empty();) {
    const size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest.remove_prefix(comma == std::string_view::npos ? rest.size() : comma + 1);
    remount = remount || word == "remount";
    const bool shown =
        std::any_of(kShown.begin(), kShown.end(), [&](std::string_view prefix) { return word.starts_with(prefix); });
    if (word == "remount" || shown) continue;
    if (!kept.empty()) kept += ',';
    kept += word;
  }
  if (remount) *list = kept;
  return remount;
}

// "-fdo ro" is "-f -d -o ro": clusters of short options up to one that takes a value.
std::vector<std::string> SplitClusters(const std::vector<std::string>& args) {
  std::vector<std::string> out;
  for (const std::string& arg : args) {
    size_t i = 1;
    bool cluster = arg.size() > 2 && arg[0] == '-' && arg[1] != '-';
    for (; cluster && i < arg.size() && arg[i] != 'o'; ++i) out.push_back({'-', arg[i]});
    if (!cluster) {
      out.push_back(arg);
    } else if (i < arg.size()) {
      out.push_back("-" + arg.substr(i));
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> NormalCommandLine(const std::string& binary, const std::string& store, const std::string& dir,
                                           const std::vector<std::string>& args) {
  std::vector<std::string> line = {binary, "--store", store};
  auto split = std::find(args.begin(), args.end(), "--");
  std::vector<std::string> own = SplitClusters({args.begin(), split});
  for (size_t i = 0; i < own.size();) i = TakeArgument(own, i, dir, &line);
  line.insert(line.end(), split, args.end());
  return line;
}

Result<std::optional<Remount>> RemountOfMountHelper(const std::vector<std::string>& args) {
  DKFS_TRY_ASSIGN(HelperWords helper, ParseHelperWords(args));
  bool remount = false;
  for (std::string& list : helper.lists) remount = TakeRemount(&list) || remount;
  if (!remount) return std::optional<Remount>();
  MountWords words;
  for (const std::string& list : helper.lists) DKFS_TRY(AddMountWords(list, helper.sloppy, &words));
  return std::optional<Remount>(Remount{helper.plain[1], words.flags, helper.fake});
}

Result<std::vector<std::string>> ArgsOfMountHelper(const std::vector<std::string>& args, bool* fake) {
  *fake = false;
  DKFS_TRY_ASSIGN(const HelperWords helper, ParseHelperWords(args));
  const std::vector<std::string>& plain = helper.plain;
  *fake = helper.fake;
  MountWords words;
  for (const std::string& list : helper.lists) DKFS_TRY(AddMountWords(list, helper.sloppy, &words));
  std::vector<std::string> out;
  if (plain[0].starts_with('/')) {
    words.settings["store"] = plain[0];
  } else if (plain[0] != "none" && plain[0] != "dkfs") {
    return Status::Error(EINVAL, "'" + plain[0] + "' is not the absolute path of a store, nor none");
  }
  for (const auto& [name, value] : words.settings) out.insert(out.end(), {"--" + name, value});
  for (const std::string& flag : words.flags) out.insert(out.end(), {"-o", flag});
  out.push_back(plain[1]);
  return out;
}

}  // namespace dkfs
