#include "store/retain/ages.h"

#include <algorithm>

#include "store/base/bytes.h"
#include "store/retain/meta.h"

namespace dkfs::retain {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kRecentStep = kSecond / 4;
constexpr uint64_t kRowsInWindow = 256;

// Wall time that passed, at most the bound and never backwards.
uint64_t RestartGap(TimeSpec before, TimeSpec now) {
  if (now <= before) return 0;
  const auto bound = static_cast<uint64_t>(kMaxRestartGap.count());
  const uint64_t seconds = static_cast<uint64_t>(now.sec) - static_cast<uint64_t>(before.sec);
  if (seconds > bound / kSecond) return bound;
  return std::min(bound, seconds * kSecond + now.nsec - before.nsec);
}

}  // namespace

Status Ages::Load(const Kv& kv) {
  monotonic_base_ = clock_.monotonic_ns();
  Result<std::string> row = kv.Get(Family::kMeta, meta::kClock);
  if (row.status().IsNotFound()) return Status::Ok();
  if (!row.ok()) return row.status();
  ByteReader in(AsBytes(*row));
  age_base_ = in.Le<uint64_t>();
  TimeSpec wall;
  wall.sec = in.Le<int64_t>();
  wall.nsec = in.Le<uint32_t>();
  if (!in.ok()) return Status::Corruption("retention clock row");
  age_base_ += RestartGap(wall, clock_.wall());
  return meta::Each(kv, meta::kAge, [&](Bytes key, Bytes value) {
    if (key.size() != 8 || value.size() != 8) return Status::Corruption("retention age row");
    rows_.push_back({LoadBe<uint64_t>(key.data()), Seq{LoadLe<uint64_t>(value.data())}});
    return Status::Ok();
  });
}

uint64_t Ages::Now() const { return age_base_ + (clock_.monotonic_ns() - monotonic_base_); }

void Ages::Note(Seq newest, std::chrono::nanoseconds window, KvBatch* batch) {
  const uint64_t now = Now();
  if (recent_.empty() || now - recent_.back().age >= kRecentStep) {
    recent_.push_back({now, newest});
    while (recent_.size() > 1 && recent_[1].age + static_cast<uint64_t>(kSettleTime.count()) <= now)
      recent_.pop_front();
  }
  const uint64_t step = std::max<uint64_t>(kSecond, static_cast<uint64_t>(window.count()) / kRowsInWindow);
  const bool due = rows_.empty() || (newest > rows_.back().seq && now >= rows_.back().age + step);
  if (!due) return;
  rows_.push_back({now, newest});
  const TimeSpec wall = clock_.wall();
  std::string value;
  PutLe(&value, now);
  PutLe(&value, wall.sec);
  PutLe(&value, wall.nsec);
  batch->Put(Family::kMeta, meta::kClock, value);
  batch->Put(Family::kMeta, meta::Key(meta::kAge, now), meta::Value(newest.value));
}

Seq Ages::Last(const std::deque<Row>& rows, uint64_t age) {
  auto after = std::upper_bound(rows.begin(), rows.end(), age, [](uint64_t a, const Row& row) { return a < row.age; });
  return after == rows.begin() ? Seq{} : std::prev(after)->seq;
}

Seq Ages::OlderThan(std::chrono::nanoseconds age) const {
  const uint64_t now = Now();
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(0, age.count()));
  return now < ns ? Seq{} : Last(rows_, now - ns);
}

Seq Ages::Settled() const {
  const uint64_t now = Now();
  const auto ns = static_cast<uint64_t>(kSettleTime.count());
  return now < ns ? Seq{} : Last(recent_, now - ns);
}

void Ages::Prune(Seq horizon, KvBatch* batch) {
  while (rows_.size() > 1 && rows_[1].seq <= horizon) {
    batch->Delete(Family::kMeta, meta::Key(meta::kAge, rows_.front().age));
    rows_.pop_front();
  }
}

}  // namespace dkfs::retain
