#include "store/format/hot_extents.h"

#include <algorithm>
#include <charconv>

namespace dkfs {
namespace {

constexpr std::string_view kName = "dkfs hot ";
constexpr uint32_t kVersion = 2;

// Takes a number and the one character behind it off `text`.
template <class Number>
bool Take(std::string_view* text, char behind, Number* out) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *out);
  const auto used = static_cast<size_t>(end - text->data());
  if (error != std::errc() || used >= text->size() || (*text)[used] != behind) return false;
  text->remove_prefix(used + 1);
  return true;
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::string EncodeHotExtents(const std::vector<HotExtent>& extents) {
  std::string text = std::string(kName) + std::to_string(kVersion) + "\n";
  for (size_t i = 0; i < std::min(extents.size(), kMaxHotExtents); ++i) {
    const HotExtent& e = extents[i];
    for (const uint64_t number : {e.file.value, e.extent, e.heat}) text += std::to_string(number) + " ";
    text += std::to_string(e.pages) + "\n";
  }
  return text;
}

Result<std::vector<HotExtent>> DecodeHotExtents(std::string_view text) {
  uint32_t version = 0;
  if (!text.starts_with(kName)) return Status::Corruption("list of hot extents: not understood");
  text.remove_prefix(kName.size());
  if (!Take(&text, '\n', &version)) return Status::Corruption("list of hot extents: no version");
  if (version > kVersion) return Status::Error(ENOTSUP, "list of hot extents: written by a newer version");
  std::vector<HotExtent> extents;
  while (!text.empty()) {
    if (IsLetter(text[0])) {
      text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
      continue;
    }
    HotExtent e;
    const bool first = Take(&text, ' ', &e.file.value) && Take(&text, ' ', &e.extent);
    const bool whole =
        first && (version == 1 ? Take(&text, '\n', &e.heat) : Take(&text, ' ', &e.heat) && Take(&text, '\n', &e.pages));
    if (!whole || e.extent > (~uint64_t{0} >> kHotExtentShift) || extents.size() >= kMaxHotExtents) {
      return Status::Corruption("list of hot extents: not understood");
    }
    extents.push_back(e);
  }
  return extents;
}

}  // namespace dkfs
