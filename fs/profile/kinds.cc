#include "fs/profile/kinds.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace dkfs {
namespace {

constexpr size_t kMostKinds = 4096;  // beyond, all begins again
constexpr size_t kHexDigits = 8;
constexpr std::array<std::string_view, 7> kTemporary = {".tmp", ".new", ".part", ".partial", ".temp", ".swp", "~"};

std::string_view WithoutTemporary(std::string_view path) {
  for (const std::string_view suffix : kTemporary) {
    if (path.size() > suffix.size() && path.ends_with(suffix)) return path.substr(0, path.size() - suffix.size());
  }
  return path;
}

size_t CountWhile(std::string_view text, int (*is)(int)) {
  const auto end = std::find_if(text.begin(), text.end(), [&](unsigned char c) { return is(c) == 0; });
  return static_cast<size_t>(end - text.begin());
}

// With the slash: a directory is never taken for a file.
std::string DirectoryOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? "" : path.substr(0, slash)) + "/";
}

std::string SuffixOf(std::string_view kind) {
  const size_t dot = kind.rfind('.');
  if (dot == std::string_view::npos || kind.find('/', dot) != std::string_view::npos) return "";
  return kind.substr(dot) == ".#" ? "" : "*" + std::string(kind.substr(dot));
}

}  // namespace

std::string Kinds::KindOf(std::string_view path) {
  path = WithoutTemporary(path);
  std::string kind;
  while (!path.empty()) {
    const size_t hex = CountWhile(path, std::isxdigit);
    const size_t run = hex >= kHexDigits ? hex : CountWhile(path, std::isdigit);
    kind += run > 0 ? '#' : path.front();
    path.remove_prefix(std::max<size_t>(run, 1));
  }
  return kind;
}

void Kinds::Put(std::string key, const WriteContext& context) {
  if (known_.size() >= kMostKinds && !known_.contains(key)) known_.clear();
  auto [it, fresh] = known_.try_emplace(std::move(key), context);
  WriteContext& known = it->second;
  if (fresh) return;
  known.size = std::min(known.size, context.size);
  known.order = std::min(known.order, context.order);
  known.rewrites = std::max(known.rewrites, context.rewrites);
  known.packed = known.packed && context.packed;
}

void Kinds::Learn(std::string_view path, const WriteContext& context) {
  const std::string kind = KindOf(path);
  Put(kind, context);
  Put(DirectoryOf(kind), context);
  if (std::string suffix = SuffixOf(kind); !suffix.empty()) Put(std::move(suffix), context);
}

std::optional<WriteContext> Kinds::For(std::string_view path) const {
  const std::string kind = KindOf(path);
  for (const std::string& key : {kind, SuffixOf(kind), DirectoryOf(kind)}) {
    if (auto it = known_.find(key); !key.empty() && it != known_.end()) return it->second;
  }
  return std::nullopt;
}

}  // namespace dkfs
