// Crash images: what a directory may look like after a kill or after loss of power, made from a journal that was left.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/store/journal/rig.h"

namespace dkfs::journal_testing {

class Patch {
 public:
  explicit Patch(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    EXPECT_TRUE(fd_.valid()) << path;
  }
  void Zero(uint64_t begin, uint64_t end) {
    const std::string zeros(end - begin, '\0');
    EXPECT_EQ(::pwrite(fd_.get(), zeros.data(), zeros.size(), static_cast<off_t>(begin)),
              static_cast<ssize_t>(zeros.size()));
  }
  // What a write that was lost leaves: what was there before.
  void Lose(uint64_t begin, uint64_t end, const std::string* former) {
    if (former == nullptr) return Zero(begin, end);
    end = std::min<uint64_t>(end, former->size());
    if (begin >= end) return;
    EXPECT_EQ(::pwrite(fd_.get(), former->data() + begin, end - begin, static_cast<off_t>(begin)),
              static_cast<ssize_t>(end - begin));
  }
  void Flip(uint64_t offset, int bit) {
    unsigned char c = 0;
    EXPECT_EQ(::pread(fd_.get(), &c, 1, static_cast<off_t>(offset)), 1);
    c = static_cast<unsigned char>(c ^ (1 << bit));
    EXPECT_EQ(::pwrite(fd_.get(), &c, 1, static_cast<off_t>(offset)), 1);
  }
  // As it was before it was sealed: zeros up to a prepared size, or what a former life left there.
  void Unseal(const std::string* former) {
    const uint64_t size = static_cast<uint64_t>(::lseek(fd_.get(), 0, SEEK_END));
    const uint64_t whole = former != nullptr ? former->size() : RoundUp(size, 4096) + 8192;
    if (size >= whole) return;
    EXPECT_EQ(::ftruncate(fd_.get(), static_cast<off_t>(whole)), 0);
    Lose(std::min(whole, size + kRecordHeaderBytes), whole, former);
  }

 private:
  UniqueFd fd_;
};

// A kill in the middle of the last pwritev: a random part of its end was never written.
inline void TearLast(Rig* rig, std::mt19937_64* random) {
  if (rig->model.empty()) return;
  const Appended& last = rig->model.back().at;
  const uint64_t kept = (*random)() % (last.length + 1);
  const std::string* former = rig->FormerOf(last.segment);
  const uint64_t end =
      last.offset + last.length + (former != nullptr ? kRecordHeaderBytes : 0);  // with the zeros behind
  Patch(rig->File(last.segment)).Lose(last.offset + kept, end, former);
}

// Loss of power: of what was not synced, each piece of `unit` bytes is there or not, or all from some place on is gone.
inline void LosePower(Rig* rig, Seq synced, std::mt19937_64* random) {
  const uint64_t unit = (*random)() % 2 ? 512 : 4096;
  const uint64_t lost_of_16 = (*random)() % 17;
  const bool suffix = (*random)() % 3 == 0;
  bool gone = false;
  std::map<SegmentId, std::pair<uint64_t, uint64_t>> unsynced;
  for (const Written& w : rig->model) {
    if (w.at.seq <= synced) continue;
    auto [it, fresh] = unsynced.try_emplace(w.at.segment, w.at.offset, 0);
    it->second.second = w.at.offset + w.at.length;
  }
  for (auto& [segment, range] : unsynced) {
    Patch file(rig->File(segment));
    const std::string* former = rig->FormerOf(segment);
    file.Unseal(former);
    if (former != nullptr) {
      range.second = std::min<uint64_t>(range.second + kRecordHeaderBytes, former->size());
    }
    for (uint64_t at = range.first; at < range.second;) {
      const uint64_t end = std::min(RoundDown(at, unit) + unit, range.second);
      const bool lost = (*random)() % 16 < lost_of_16;
      gone = suffix && (gone || lost);
      if (suffix ? gone : lost) file.Lose(at, end, former);
      at = end;
    }
  }
}

inline void CopyImage(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

}  // namespace dkfs::journal_testing
