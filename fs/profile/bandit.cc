#include "fs/profile/bandit.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dkfs {
namespace {

constexpr double kEnough = 0.5;           // evidence below this is hearsay
constexpr double kUntriedOptimism = 0.5;  // what an untried arm may cost, of the cheapest known
constexpr double kLeastError = 0.01;      // of the mean: two equal observations prove little

}  // namespace

Bandit::Bandit(size_t arms, const BanditOptions& options) : options_(options), arms_(arms) {}

void Bandit::Observe(size_t arm, double bytes, double cost) {
  if (!(bytes > 0) || !std::isfinite(cost) || arm >= arms_.size()) return;
  const size_t believed = Best(arm);
  const double kept = std::exp2(-bytes / options_.half_life_bytes);
  for (Arm& other : arms_) {
    other.weight *= kept;
    other.spread *= kept;
  }
  total_ = total_ * kept + bytes;
  // One that is as good as the best, as far as is known, is nothing to pay for.
  const bool as_good = arm == believed || (evidence(arm) >= kEnough && !IsBetter(believed, arm, options_.as_good));
  explored_ = explored_ * kept + (as_good ? 0 : bytes);
  Infer(arm, bytes, cost);
}

void Bandit::Infer(size_t arm, double bytes, double cost) {
  if (!(bytes > 0) || !std::isfinite(cost) || arm >= arms_.size()) return;
  Arm& a = arms_[arm];
  a.weight += bytes;
  const double difference = cost - a.mean;
  a.mean += difference * bytes / a.weight;
  a.spread += bytes * difference * (cost - a.mean);
}

double Bandit::evidence(size_t arm) const { return std::min(1.0, arms_[arm].weight / options_.full_evidence_bytes); }

// A full evidence's bytes count as one observation.
double Bandit::ErrorOf(const Arm& arm) const {
  const double observations = std::max(arm.weight / options_.full_evidence_bytes, 1e-9);
  const double variance = arm.weight > 0 ? std::max(arm.spread, 0.0) / arm.weight : 0;
  return std::sqrt(variance / observations) + kLeastError * std::abs(arm.mean) / std::sqrt(observations);
}

size_t Bandit::Best(size_t fallback, uint64_t allowed) const {
  size_t best = fallback;
  bool found = false;
  for (size_t i = 0; i < arms_.size(); ++i) {
    if ((allowed >> i & 1) == 0 || evidence(i) < kEnough || (found && arms_[i].mean >= arms_[best].mean)) continue;
    best = i;
    found = true;
  }
  return best;
}

double Bandit::Bound(size_t arm) const {
  const Arm& a = arms_[arm];
  if (evidence(arm) >= kEnough) return a.mean - options_.confidence * ErrorOf(a);
  double cheapest = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < arms_.size(); ++i) {
    if (evidence(i) >= kEnough) cheapest = std::min(cheapest, arms_[i].mean);
  }
  return std::isfinite(cheapest) ? cheapest * kUntriedOptimism : 0;
}

size_t Bandit::Next(size_t fallback, uint64_t allowed) const {
  const size_t best = Best(fallback, allowed);
  if (evidence(best) < kEnough || !MayExplore()) return best;
  size_t next = best;
  for (size_t i = 0; i < arms_.size(); ++i) {
    if ((allowed >> i & 1) != 0 && Bound(i) < Bound(next)) next = i;
  }
  return next;
}

bool Bandit::IsBetter(size_t arm, size_t than, double margin) const {
  if (evidence(arm) < kEnough || evidence(than) < kEnough) return false;
  const double error = options_.confidence * std::hypot(ErrorOf(arms_[arm]), ErrorOf(arms_[than]));
  return arms_[arm].mean + error < arms_[than].mean * (1 - margin);
}

}  // namespace dkfs
