#include "fs/profile/layout_choice.h"

#include <algorithm>
#include <cstdlib>

namespace dkfs {
namespace {

double Share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

bool TakeWord(std::string_view word, FileLayout* layout) {
  for (uint8_t shift = kMinBlockShift; shift <= kMaxBlockShift; ++shift) {
    const FileLayout sized{shift, {}};
    const std::string size = LayoutText(sized);
    if (word != std::string_view(size).substr(0, size.find(' '))) continue;
    layout->block_shift = shift;
    return true;
  }
  for (const bool delta : {true, false}) {
    if (word == (delta ? "delta" : "whole")) return layout->policy.delta = delta, true;
  }
  if (word == "long") return layout->policy.long_frames = true;
  for (const uint8_t level : {0, 1, 3, 9}) {
    if (word == (level == 0 ? "raw" : "z" + std::to_string(level))) return layout->policy.compression = level, true;
  }
  for (const uint8_t interval : {8, 24, 48, 96}) {
    if (word == "fold" + std::to_string(interval)) return layout->policy.fold_interval = interval, true;
  }
  return false;
}

uint8_t ThirdOf(double share) { return share < 0.1 ? 0 : share < 0.6 ? 1 : 2; }

}  // namespace

std::string LayoutText(const FileLayout& layout) {
  const uint64_t kib = (uint64_t{1} << layout.block_shift) / 1024;
  const CapturePolicy& policy = layout.policy;
  std::string text = kib < 1024 ? std::to_string(kib) + "K" : std::to_string(kib / 1024) + "M";
  text += policy.delta ? " delta" : " whole";
  text += policy.compression == 0 ? " raw" : " z" + std::to_string(policy.compression);
  text += " fold" + std::to_string(policy.fold_interval);
  return policy.long_frames ? text + " long" : text;
}

Result<FileLayout> ParseLayout(std::string_view text) {
  FileLayout layout;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!word.empty() && !TakeWord(word, &layout)) {
      return Status::Error(EINVAL, "'" + std::string(word) + "' is none of 4K to 1M, delta, whole, raw, z1, z3, z9, " +
                                       "fold8, fold24, fold48, fold96, long");
    }
  }
  return layout;
}

// The policies are of the kinds that can be recorded (IsSpelled).
const std::vector<FileLayout>& LayoutChoices() {
  static const std::vector<FileLayout> choices = [] {
    const FileLayout shapes[] = {{13, {true, 3, 24}},   // the default: a database's pages
                                 {12, {true, 3, 48}},   // small changes in small pages
                                 {13, {true, 3, 96}},   // changes that stay small
                                 {13, {false, 3, 24}},  // pages that change all over
                                 {20, {false, 3, 24}},  // streams
                                 {16, {false, 3, 24}},  // large pieces, written once
                                 {16, {true, 3, 24}}};  // records appended
    std::vector<FileLayout> out;
    for (FileLayout shape : shapes) {
      for (const Packing& packing : kPackings) {
        shape.policy.compression = packing.level;
        shape.policy.long_frames = packing.long_frames;
        out.push_back(shape);
      }
    }
    return out;
  }();
  return choices;
}

uint64_t PackedAs(size_t choice) {
  uint64_t out = 0;
  for (size_t i = choice % kPackings.size(); i < LayoutChoices().size(); i += kPackings.size()) out |= Bit(i);
  return out;
}

uint64_t SaneChoices(const WriteContext& context) {
  constexpr uint64_t kLargest[] = {4 << 10, 16 << 10, 256 << 10, 1 << 20};  // a write of the class
  const uint64_t write = kLargest[context.size];
  uint64_t sane = 0;
  for (size_t i = 0; i < LayoutChoices().size(); ++i) {
    const FileLayout& choice = LayoutChoices()[i];
    const bool large = !choice.policy.delta && choice.block_shift > kDefaultBlockShift;
    if ((large || choice.policy.long_frames) && !context.stream()) continue;
    const uint64_t most = choice.policy.delta ? 16 * write : 2 * write;
    const uint64_t bytes = uint64_t{1} << choice.block_shift;
    if ((bytes <= most && bytes * 64 >= write) || ShapeOf(i) == 0) sane |= Bit(i);
  }
  return sane;
}

size_t NearestChoice(const FileLayout& layout) {
  const auto distance = [&](const FileLayout& choice) {
    return std::abs(choice.block_shift - layout.block_shift) * 8 +
           (choice.policy.delta != layout.policy.delta ? 4 : 0) +
           ((choice.policy.compression == 0) != (layout.policy.compression == 0) ? 2 : 0) +
           (choice.policy.long_frames != layout.policy.long_frames ? 2 : 0) + (choice.policy != layout.policy ? 1 : 0);
  };
  const auto& choices = LayoutChoices();
  const auto nearest = std::min_element(choices.begin(), choices.end(),
                                        [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  return static_cast<size_t>(nearest - choices.begin());
}

std::string WriteContext::ToString() const {
  constexpr const char* kSizes[] = {"small", "pages", "large", "huge"};
  constexpr const char* kOrders[] = {"scattered", "mixed", "sequential"};
  constexpr const char* kRewrites[] = {"never rewritten", "rewritten at times", "mostly rewritten"};
  return std::string(kSizes[size]) + ", " + kOrders[order] + ", " + kRewrites[rewrites] +
         (packed ? ", compressed" : "");
}

WriteContext ContextOf(const hotness_file& counts, uint64_t pages, uint64_t rewritten) {
  WriteContext context;
  const uint64_t mean = counts.writes == 0 ? 4096 : counts.bytes / counts.writes;
  context.size = mean <= 4096 ? 0 : mean <= 16384 ? 1 : mean <= 262144 ? 2 : 3;
  context.order = ThirdOf(Share(counts.sequential, counts.writes));
  context.rewrites = ThirdOf(Share(std::min(rewritten, pages), pages));
  return context;
}

}  // namespace dkfs
