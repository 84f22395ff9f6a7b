// Sizes and times as people write them, in flags, environment and configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "store/base/status.h"

namespace dkfs {

// "4096", "64K", "10G", "1.5T", "10GiB"; powers of 1024. EINVAL names the text.
Result<uint64_t> ParseSize(std::string_view text);
// "90s", "15m", "24h", "7d", "90" (seconds). EINVAL names the text; a time of 0 is refused.
Result<std::chrono::seconds> ParseDuration(std::string_view text);
std::string FormatSize(uint64_t bytes);                     // "1.5 GiB"
std::string FormatDuration(std::chrono::seconds duration);  // "2h 5m"

}  // namespace dkfs
