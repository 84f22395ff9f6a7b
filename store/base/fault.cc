#include "store/base/fault.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "store/base/mutex.h"

namespace dkfs {
namespace {

// Every fault point there is, by area. Add a line with each new Fault::Pass.
constexpr std::string_view kNames[] = {
    // store/base/file.cc: each system call; a transfer passes once for each call it needs
    "file.open",
    "file.read",
    "file.write",
    "file.datasync",
    "file.sync",
    "file.syncfs",
    "file.syncdir",
    "file.truncate",
    "file.allocate",
    "file.rename",
    "file.unlink",
    "file.mkdir",
    "file.stat",
    "file.list",
    // store
    "store.open",
    "store.append",
    "store.barrier",
    "store.sync",
    "store.close",
    "store.mark_clean",
    "store.remove_clean",
    "journal.append",
    "journal.sync",
    "journal.roll",
    "journal.seal",
    "journal.recover",
    "journal.delete",
    "index.apply",
    "index.flush",
    "index.repoint",
    "kv.write",
    "kv.sync",
    "kv.rename",
    "kv.flush",
    "retain.pack",
    "retain.publish",
    "retain.repoint",
    "retain.fold",
    "retain.drop",
    "retain.delete",
    "retain.flush",
    // fs
    "backing.open",
    "backing.write",
    "backing.rename",
    "backing.sync",
    "capture.append",
    "hydrate.block",
    "hydrate.publish",
    "adopt.record",
    "adopt.capture",
    "layout.change",
    "drift.capture",
    "aside.move",
    "ops.recorded",
    "ops.applied",
    "ops.reply",
    "session.thread",
    "daemon.ready",
    "daemon.unmount",
    // bugs for the crash oracles to find, with `skip`
    "bug.name_stays",
    "bug.stale_block",
};

enum class Action { kError, kKill, kPause, kShort, kSkip };

struct Armed {
  std::string name;
  Action action = Action::kError;
  int error = 0;
  uint64_t first = 1;
  uint64_t last = 1;
};

struct State {
  Mutex mutex;
  CondVar changed;
  std::vector<Armed> armed GUARDED_BY(mutex);
  std::map<std::string, uint64_t, std::less<>> passes GUARDED_BY(mutex);
  std::map<std::string, bool, std::less<>> released GUARDED_BY(mutex);
  uint64_t generation GUARDED_BY(mutex) = 0;
};

State& TheState() {
  static State* state = new State;  // never destroyed: threads may pass points while the process ends
  return *state;
}

bool IsKnown(std::string_view name) {
  for (std::string_view known : kNames) {
    if (known == name) return true;
  }
  return false;
}

std::optional<int> ErrnoOf(std::string_view name) {
  for (int code = 1; code < 200; ++code) {
    const char* known = strerrorname_np(code);
    if (known != nullptr && name == known) return code;
  }
  return std::nullopt;
}

bool ParseAction(std::string_view text, Armed* out) {
  if (text == "kill") {
    out->action = Action::kKill;
  } else if (text == "pause") {
    out->action = Action::kPause;
  } else if (text == "short") {
    out->action = Action::kShort;
  } else if (text == "skip") {
    out->action = Action::kSkip;
  } else if (const auto code = ErrnoOf(text)) {
    out->error = *code;
  } else {
    return false;
  }
  return true;
}

// "3", "3+" or "*".
bool ParsePasses(std::string_view text, Armed* out) {
  out->last = UINT64_MAX;
  if (text == "*") return true;
  const bool open = text.ends_with('+');
  if (open) text.remove_suffix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out->first);
  if (error != std::errc() || end != text.data() + text.size() || out->first == 0) return false;
  if (!open) out->last = out->first;
  return true;
}

Result<Armed> ParseOne(std::string_view text) {
  const size_t equals = text.find('=');
  const size_t at = text.rfind('@');
  const Status bad = Status::Error(EINVAL, "fault \"" + std::string(text) + "\"");
  if (equals == std::string_view::npos || at == std::string_view::npos || at < equals) return bad;
  Armed one;
  one.name = text.substr(0, equals);
  if (!IsKnown(one.name)) return bad.Prefix("unknown point");
  if (!ParseAction(text.substr(equals + 1, at - equals - 1), &one)) return bad.Prefix("unknown action");
  if (!ParsePasses(text.substr(at + 1), &one)) return bad.Prefix("bad pass number");
  return one;
}

bool IsReleased(const State& state, std::string_view name) REQUIRES(state.mutex) {
  const auto it = state.released.find(name);
  return it != state.released.end() && it->second;
}

void WaitUntilReleased(State* state, std::string_view name) REQUIRES(state->mutex) {
  const uint64_t generation = state->generation;
  while (state->generation == generation && !IsReleased(*state, name)) state->changed.Wait(state->mutex);
}

Status Do(State* state, const Armed& armed, size_t* bytes, bool* skip) REQUIRES(state->mutex) {
  switch (armed.action) {
    case Action::kError:
      return Status::Error(armed.error, "fault point " + armed.name);
    case Action::kKill:
      ::kill(::getpid(), SIGKILL);
      std::abort();  // not reached: the signal is delivered before kill returns
    case Action::kPause:
      WaitUntilReleased(state, std::string(armed.name));
      return Status::Ok();
    case Action::kShort:
      if (bytes != nullptr && *bytes > 1) *bytes /= 2;
      return Status::Ok();
    case Action::kSkip:
      if (skip != nullptr) *skip = true;
      return Status::Ok();
  }
  return Status::Ok();
}

}  // namespace

std::atomic<bool> Fault::armed_{false};

Status Fault::PassSlow(std::string_view name, size_t* bytes, bool* skip) {
#ifndef NDEBUG
  DKFS_CHECK(IsKnown(name));
#endif
  State& state = TheState();
  MutexLock lock(state.mutex);
  auto count = state.passes.find(name);
  if (count == state.passes.end()) count = state.passes.emplace(std::string(name), 0).first;
  const uint64_t pass = ++count->second;
  state.changed.SignalAll();
  for (const Armed& armed : state.armed) {
    // Do may wait and `armed` be replaced meanwhile: it is not touched after that.
    if (armed.name == name && armed.first <= pass && pass <= armed.last) return Do(&state, armed, bytes, skip);
  }
  return Status::Ok();
}

Status Fault::Arm(std::string_view spec) {
  std::vector<Armed> all;
  while (!spec.empty()) {
    const size_t comma = std::min(spec.find(','), spec.size());
    DKFS_TRY_ASSIGN(Armed one, ParseOne(spec.substr(0, comma)));
    all.push_back(std::move(one));
    spec.remove_prefix(std::min(comma + 1, spec.size()));
  }
  State& state = TheState();
  MutexLock lock(state.mutex);
  state.armed = std::move(all);
  state.passes.clear();
  state.released.clear();
  ++state.generation;
  armed_.store(!state.armed.empty(), std::memory_order_relaxed);
  state.changed.SignalAll();
  return Status::Ok();
}

Status Fault::ArmFromEnvironment() {
  const char* spec = std::getenv("DKFS_FAULTS");
  return spec == nullptr ? Status::Ok() : Arm(spec).Prefix("DKFS_FAULTS");
}

void Fault::Release(std::string_view name) {
  State& state = TheState();
  MutexLock lock(state.mutex);
  state.released[std::string(name)] = true;
  state.changed.SignalAll();
}

uint64_t Fault::Passes(std::string_view name) {
  State& state = TheState();
  MutexLock lock(state.mutex);
  const auto it = state.passes.find(name);
  return it == state.passes.end() ? 0 : it->second;
}

void Fault::AwaitPasses(std::string_view name, uint64_t count) {
  State& state = TheState();
  MutexLock lock(state.mutex);
  const auto passes = [&state, name]() NO_THREAD_SAFETY_ANALYSIS {
    const auto it = state.passes.find(name);
    return it == state.passes.end() ? 0 : it->second;
  };
  while (passes() < count) state.changed.Wait(state.mutex);
}

std::span<const std::string_view> Fault::Names() { return kNames; }

}  // namespace dkfs
