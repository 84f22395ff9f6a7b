#include "tests/crash/power/content.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace dkfs::test {
namespace {

constexpr size_t kPagesAtOnce = 256;

}  // namespace

std::byte* Content::Own(uint64_t page) {
  std::shared_ptr<Page>& held = pages_[page];
  if (!held) {
    held = std::make_shared<Page>();
  } else if (held.use_count() > 1) {
    held = std::make_shared<Page>(*held);
  }
  return held->data();
}

void Content::Put(uint64_t offset, uint64_t length, Bytes data) {
  while (length > 0) {
    const uint64_t page = offset / kPage, at = offset % kPage, n = std::min(length, kPage - at);
    if (!data.empty()) {
      std::copy_n(data.data(), n, Own(page) + at);
      data = data.subspan(n);
    } else if (n == kPage) {
      pages_.erase(page);
    } else if (pages_.contains(page)) {
      std::fill_n(Own(page) + at, n, std::byte{0});
    }
    offset += n;
    length -= n;
  }
}

void Content::DropFrom(uint64_t offset) {
  if (offset % kPage != 0) Put(offset, kPage - offset % kPage, {});
  pages_.erase(pages_.lower_bound((offset + kPage - 1) / kPage), pages_.end());
}

std::byte Content::At(uint64_t offset) const {
  const auto it = pages_.find(offset / kPage);
  return it == pages_.end() ? std::byte{0} : (*it->second)[offset % kPage];
}

Status Content::WriteTo(int fd) const {
  if (::ftruncate(fd, static_cast<off_t>(size)) != 0) return Status::FromErrno("size of an image's file");
  std::vector<struct iovec> run;
  uint64_t start = 0, next = 0;
  const auto flush = [&]() -> Status {
    const ssize_t n =
        run.empty() ? 0 : ::pwritev(fd, run.data(), static_cast<int>(run.size()), static_cast<off_t>(start));
    const bool whole = n == static_cast<ssize_t>(next - start);
    run.clear();
    start = next;
    return whole ? Status::Ok() : Status::FromErrno("write an image");
  };
  for (const auto& [page, data] : pages_) {
    const uint64_t at = page * kPage;
    if (at >= size) break;
    if (at != next || run.size() == kPagesAtOnce) {
      DKFS_TRY(flush());
      start = at;
    }
    run.push_back({data->data(), std::min<uint64_t>(kPage, size - at)});
    next = at + run.back().iov_len;
  }
  return flush();
}

}  // namespace dkfs::test
