// Mutexes with clang thread-safety annotations (checked with -Werror in the lint preset; docs/locks.md has the order).
#pragma once

#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#if defined(__clang__)
#define DKFS_TSA(x) __attribute__((x))
#else
#define DKFS_TSA(x)
#endif
#define CAPABILITY(x) DKFS_TSA(capability(x))
#define SCOPED_CAPABILITY DKFS_TSA(scoped_lockable)
#define GUARDED_BY(x) DKFS_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) DKFS_TSA(pt_guarded_by(x))
#define REQUIRES(...) DKFS_TSA(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) DKFS_TSA(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) DKFS_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) DKFS_TSA(acquire_capability(__VA_ARGS__))
#define ACQUIRE_SHARED(...) DKFS_TSA(acquire_shared_capability(__VA_ARGS__))
#define RELEASE(...) DKFS_TSA(release_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) DKFS_TSA(release_shared_capability(__VA_ARGS__))
#define RELEASE_GENERIC(...) DKFS_TSA(release_generic_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) DKFS_TSA(try_acquire_capability(__VA_ARGS__))
#define ACQUIRED_BEFORE(...) DKFS_TSA(acquired_before(__VA_ARGS__))
#define ACQUIRED_AFTER(...) DKFS_TSA(acquired_after(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS DKFS_TSA(no_thread_safety_analysis)

namespace dkfs {

class CAPABILITY("mutex") Mutex {
 public:
  void lock() ACQUIRE() { m_.lock(); }
  void unlock() RELEASE() { m_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return m_.try_lock(); }

 private:
  std::mutex m_;
};

class CAPABILITY("mutex") SharedMutex {
 public:
  void lock() ACQUIRE() { m_.lock(); }
  void unlock() RELEASE() { m_.unlock(); }
  bool try_lock() TRY_ACQUIRE(true) { return m_.try_lock(); }
  void lock_shared() ACQUIRE_SHARED() { m_.lock_shared(); }
  void unlock_shared() RELEASE_SHARED() { m_.unlock_shared(); }

 private:
  std::shared_mutex m_;
};

class SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& m) ACQUIRE(m) : m_(m) { m_.lock(); }
  ~MutexLock() RELEASE() { m_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& m_;
};

class SCOPED_CAPABILITY ExclusiveLock {
 public:
  explicit ExclusiveLock(SharedMutex& m) ACQUIRE(m) : m_(m) { m_.lock(); }
  ~ExclusiveLock() RELEASE() { m_.unlock(); }
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  SharedMutex& m_;
};

class SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& m) ACQUIRE_SHARED(m) : m_(m) { m_.lock_shared(); }
  ~SharedLock() RELEASE_GENERIC() { m_.unlock_shared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& m_;
};

// Waits release the Mutex and hold it again on return.
class CondVar {
 public:
  void Wait(Mutex& m) REQUIRES(m) { cv_.wait(m); }
  // Returns false when `timeout` passed first.
  template <class Duration>
  bool WaitFor(Mutex& m, Duration timeout) REQUIRES(m) {
    return cv_.wait_for(m, timeout) == std::cv_status::no_timeout;
  }
  void Signal() { cv_.notify_one(); }
  void SignalAll() { cv_.notify_all(); }

 private:
  std::condition_variable_any cv_;
};

}  // namespace dkfs
