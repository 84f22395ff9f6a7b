#include "fs/hydrate/hydrator.h"

#include <algorithm>

#include "fs/hydrate/impl.h"
#include "store/base/log.h"

namespace dkfs {

Hydrator::Hydrator(Store* store, Backing* backing, InodeTable* inodes, SharedMutex* tree_lock,
                   const HydrateOptions& options)
    : impl_(std::make_unique<Impl>(store, backing, inodes, tree_lock, options)) {}
Hydrator::~Hydrator() { Stop(); }

Status Hydrator::Prepare(Inode& inode, const std::string& path) { return impl_->Prepare(inode, path); }
Status Hydrator::MakePresent(Inode& inode, uint64_t first, uint64_t count) {
  return impl_->MakePresent(inode, first, count, Wanted::kSoon);
}

Hydrator::Made Hydrator::Make(Inode& inode, uint64_t first, uint64_t count) { return impl_->Make(inode, first, count); }
void Hydrator::Use(Inode& inode, const Made& made) { impl_->Use(inode, made, Wanted::kSoon); }

bool Hydrator::IsPresent(const Inode& inode, uint64_t first, uint64_t count) {
  if (inode.presence == Presence::kPresent) return true;
  if (inode.presence == Presence::kUnknown) return count == 0;
  const uint64_t end = count > kEndOfFile - first ? kEndOfFile : first + count;
  return inode.absent_blocks.Next(first, end) == end;
}

void Hydrator::MarkPresent(Inode& inode, uint64_t first, uint64_t count) {
  if (inode.presence != Presence::kPartial) return;
  inode.absent_blocks.Remove(first, first + count);
  impl_->NoteComplete(inode);
}

void Hydrator::MarkAbsent(Inode& inode, uint64_t first, uint64_t count) {
  const uint64_t blocks = presence::BlocksOf(inode.state);
  const uint64_t end = std::min(first + count, blocks);
  if (first >= end) return;
  if (inode.presence == Presence::kPresent) {
    presence::Begin(inode, blocks, false);
    impl_->inodes->ForgetPresent(inode.id);
    if (inode.state.nlink > 0) {  // an O_TMPFILE that has had a name here could be given none any more
      impl_->LinkPartial(inode).Ignore("its names lead to it as well");
    }
  }
  inode.absent_blocks.Add(first, end);
  impl_->NoteToFill(inode);
}

bool Hydrator::OwesAttributes(const Inode& inode) { return impl_->OwesAttributes(inode); }

void Hydrator::MarkUnknown(Inode& inode) {
  inode.absent_blocks = {};
  inode.presence = Presence::kUnknown;
}

void Hydrator::MarkResized(Inode& inode, uint64_t old_size, uint64_t new_size) {
  if (inode.presence != Presence::kPartial || new_size >= old_size) return;
  const uint64_t block_size = uint64_t{1} << inode.state.block_shift;
  inode.absent_blocks.Remove((new_size + block_size - 1) / block_size, kEndOfFile);
  impl_->NoteComplete(inode);
}

bool Hydrator::TakesDeferred(uint64_t bytes, uint64_t end) const { return impl_->TakesDeferred(bytes, end); }
Status Hydrator::BeginDeferring(Inode& inode, const std::string& path) { return impl_->BeginDeferring(inode, path); }
void Hydrator::Defer(Inode& inode, uint64_t first, uint64_t count) { impl_->Defer(inode, first, count); }
void Hydrator::RefuseDeferred() { impl_->refuses_deferred = true; }

Status Hydrator::PrepareDirectory(Inode& dir, const std::string& path) NO_THREAD_SAFETY_ANALYSIS {
  return impl_->PrepareDirectory(dir, path);
}

Status Hydrator::Reclaim() { return impl_->Reclaim(); }
void Hydrator::Start() { impl_->Start(); }
void Hydrator::Stop() { impl_->Stop(); }
Status Hydrator::Finish(const std::function<bool()>& cancel) { return impl_->Finish(cancel); }
Status Hydrator::WriteTimesAndFingerprints() { return impl_->WriteTimesAndFingerprints(); }
void Hydrator::NoteTouched(FileId file) { impl_->NoteTouched(file); }
void Hydrator::NoteXattrs(FileId file) { impl_->NoteXattrs(file); }
HydrateProgress Hydrator::progress() const { return impl_->Progress(); }
Aside& Hydrator::aside() { return impl_->aside; }

}  // namespace dkfs
