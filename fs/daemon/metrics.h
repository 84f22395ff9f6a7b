// Metrics: the Prometheus endpoint. Values are read from the daemon's report when scraped; nothing is kept here. The
// only user of prometheus-cpp.
#pragma once

#include <memory>
#include <string>

#include "store/base/status.h"

namespace dkfs {

class Daemon;

class Metrics {
 public:
  // Listens at `address` (HOST:PORT); "" serves nothing. EADDRINUSE when the address cannot be had.
  // `daemon` must be assembled and outlive this.
  static Result<std::unique_ptr<Metrics>> Start(const std::string& address, const Daemon* daemon);
  ~Metrics();

 private:
  class Impl;
  explicit Metrics(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace dkfs
