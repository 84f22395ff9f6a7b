#include "store/replay/buffer_pool.h"

#include <vector>

#include "store/base/mutex.h"

namespace dkfs {

struct BufferPool::Shelf {
  explicit Shelf(size_t most) : keep(most) { unused.reserve(most); }
  const size_t keep;
  Mutex mutex;
  std::vector<std::unique_ptr<std::byte[]>> unused GUARDED_BY(mutex);

  std::unique_ptr<std::byte[]> Find() {
    MutexLock lock(mutex);
    if (unused.empty()) return nullptr;
    std::unique_ptr<std::byte[]> found = std::move(unused.back());
    unused.pop_back();
    return found;
  }
  void PutBack(std::unique_ptr<std::byte[]> buffer) {
    MutexLock lock(mutex);
    if (unused.size() < keep) unused.push_back(std::move(buffer));
  }
};

BufferPool::BufferPool(size_t bytes, size_t keep) : bytes_(bytes), shelf_(std::make_shared<Shelf>(keep)) {}

BufferPool::Buffer BufferPool::Take(size_t bytes) {
  if (bytes > bytes_) return std::make_shared_for_overwrite<std::byte[]>(bytes);
  std::unique_ptr<std::byte[]> found = shelf_->Find();
  if (found == nullptr) found = std::make_unique_for_overwrite<std::byte[]>(bytes_);
  return {found.release(), [shelf = shelf_](std::byte* data) { shelf->PutBack(std::unique_ptr<std::byte[]>(data)); }};
}

}  // namespace dkfs
