// Status and Result: how every fallible call of dkfs reports.
//
// A Status is an errno and, when somebody will read it, a sentence saying what was being done to what.
// Status::Error(code) without a sentence allocates nothing, so that ENOENT on a lookup stays cheap.
// Damage found in stored bytes is EUCLEAN (IsCorruption()); it reaches applications as EIO.
#pragma once

#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace dkfs {

class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status Ok() { return {}; }
  // REQUIRES: code > 0, an errno value.
  static Status Error(int code);
  static Status Error(int code, std::string context);
  // Error from the calling thread's errno, read before anything else runs.
  static Status FromErrno(std::string_view context);
  static Status Corruption(std::string what) { return Error(EUCLEAN, std::move(what)); }

  bool ok() const { return code_ == 0; }
  int code() const { return code_; }
  bool IsNotFound() const { return code_ == ENOENT; }
  bool IsCorruption() const { return code_ == EUCLEAN; }
  // What was being done to what; empty when none was given.
  std::string_view context() const { return context_ ? std::string_view(*context_) : std::string_view(); }
  // "context: strerror", for people.
  std::string ToString() const;
  // The same error with a further "context: " in front.
  Status Prefix(std::string_view context) const;

  // Spells that an error is ignored on purpose; `reason` is for the reader.
  void Ignore([[maybe_unused]] std::string_view reason) const {}

 private:
  int code_ = 0;
  std::shared_ptr<const std::string> context_;  // shared: a sticky error is handed to many
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {}  // NOLINT; REQUIRES: !status.ok()

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  int code() const { return status_.code(); }
  // REQUIRES: ok().
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

// `expr` is a Status expression; leaves the function with it when it is an error.
#define DKFS_TRY(expr)                                 \
  do {                                                 \
    ::dkfs::Status dkfs_try_status = (expr);           \
    if (!dkfs_try_status.ok()) return dkfs_try_status; \
  } while (0)

#define DKFS_CONCAT2(a, b) a##b
#define DKFS_CONCAT(a, b) DKFS_CONCAT2(a, b)
// DKFS_TRY_ASSIGN(auto x, F()): unwraps a Result or leaves the function with its status.
#define DKFS_TRY_ASSIGN(lhs, expr) DKFS_TRY_ASSIGN_IMPL(DKFS_CONCAT(dkfs_result_, __LINE__), lhs, expr)
#define DKFS_TRY_ASSIGN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                         \
  if (!tmp.ok()) return tmp.status();        \
  lhs = std::move(tmp).value()

// Always-on check for bugs of ours that would corrupt data; never for user, kernel or disk input.
#define DKFS_CHECK(cond) ((cond) ? (void)0 : ::dkfs::CheckFailed(#cond, __FILE__, __LINE__))
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace dkfs
