// Bandit: which arm costs least, learned by trying. One for each context (a contextual bandit). Pure and deterministic.
//
// Each arm keeps a decayed mean and variance of its cost for each byte written, weighted by bytes, so that what was
// learned long ago fades. Choosing takes the arm with the lowest confidence bound below its mean; an arm nobody tried
// may well cost half of the cheapest known. Exploration is bounded: of the bytes seen, at most the
// share `explore` may go to arms that are not the best known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dkfs {

struct BanditOptions {
  double explore = 0.05;                 // most of all bytes that may be spent on trying
  double half_life_bytes = 1 << 30;      // an observation this long ago counts half
  double full_evidence_bytes = 4 << 20;  // as much as makes a mean worth believing
  double confidence = 1.0;               // standard errors that an arm must be better by
  double as_good = 0.05;                 // an arm that costs at most this share more than the best is no exploration
  double tuition_bytes = 0;              // may be spent on trying whatever the share: there is a beginning
};

class Bandit {
 public:
  Bandit(size_t arms, const BanditOptions& options);

  // `bytes` written under `arm` cost `cost` for each of them.
  void Observe(size_t arm, double bytes, double cost);
  // The same bytes would have cost `cost` under `arm`: known without trying, so neither time passes nor is it spent.
  void Infer(size_t arm, double bytes, double cost);
  // The arm to believe in: the lowest mean among those with evidence; `fallback` while there is none.
  // `allowed`: a bit for each arm that may be named; at most 64 arms.
  size_t Best(size_t fallback, uint64_t allowed = ~uint64_t{0}) const;
  // The arm to use next: the best, or another whose bound promises more, within the bounds of exploration.
  size_t Next(size_t fallback, uint64_t allowed = ~uint64_t{0}) const;
  // Whether `arm` is known to be cheaper than `than`, by more than chance and by `margin` (0.05: a twentieth).
  bool IsBetter(size_t arm, size_t than, double margin) const;

  double mean(size_t arm) const { return arms_[arm].mean; }
  double evidence(size_t arm) const;  // 0 to 1
  double explored_share() const { return total_ == 0 ? 0 : explored_ / total_; }

 private:
  struct Arm {
    double weight = 0, mean = 0, spread = 0;  // spread: weighted sum of squared differences
  };
  bool MayExplore() const { return explored_ < options_.tuition_bytes || explored_share() < options_.explore; }
  double ErrorOf(const Arm& arm) const;  // standard error of the mean
  double Bound(size_t arm) const;        // the least it may well cost

  const BanditOptions options_;
  std::vector<Arm> arms_;
  double total_ = 0, explored_ = 0;
};

}  // namespace dkfs
