#include <bit>
#include <set>

#include "store/moments.h"
#include "store/store.h"
#include "store/store_impl.h"

namespace dkfs {
Result<InodeState> Store::GetInode(FileId file, Seq at) { return impl_->index->Inode(file, at); }

Result<NameValue> Store::Lookup(FileId parent, std::string_view name, Seq at) {
  return impl_->index->Name(parent, name, at);
}

Status Store::List(FileId parent, EntryId after, Seq at, const std::function<bool(EntryId, const EntryValue&)>& each) {
  return impl_->index->Entries(parent, after, at, each);
}

Result<bool> Store::IsEmptyDir(FileId dir, Seq at) {
  bool empty = true;
  DKFS_TRY(impl_->index->Entries(dir, EntryId{}, at, [&](EntryId, const EntryValue&) { return empty = false; }));
  return empty;
}

Result<std::vector<LinkName>> Store::Links(FileId child, Seq at) { return impl_->index->Links(child, at); }

Result<std::string> Store::PathOf(FileId file, Seq at) {
  std::vector<std::string> names;
  // A damaged store may lead in a circle: that comes past a file remembered after 1, 2, 4, ... steps.
  FileId remembered = file;
  for (size_t steps = 1; file != kRootFile; ++steps) {
    DKFS_TRY_ASSIGN(std::vector<LinkName> links, impl_->index->Links(file, at, 1));
    if (links.empty()) return Status::Error(ENOENT);
    names.push_back(std::move(links.front().name));
    file = links.front().parent;
    if (file == remembered) {
      return Status::Corruption("file " + std::to_string(file.value) + ": its path has no end");
    }
    if (std::has_single_bit(steps)) remembered = file;
  }
  std::string path;
  for (; !names.empty(); names.pop_back()) path += (path.empty() ? "" : "/") + names.back();
  return path;
}

Result<std::string> Store::GetXattr(FileId file, std::string_view name, Seq at) {
  return impl_->index->Xattr(file, name, at);
}

Result<std::vector<std::pair<std::string, std::string>>> Store::ListXattrs(FileId file, Seq at) {
  return impl_->index->Xattrs(file, at);
}

Status Store::EachInode(Seq at, const std::function<bool(FileId, const InodeState&)>& each) {
  return impl_->index->EachInode(at, each);
}

Status Store::DescribeBlock(FileId file, const InodeState& state, uint64_t block, Seq at, Newest* newest) {
  Reconstructor::Newest found;
  DKFS_TRY(impl_->reconstructor->Describe(file, state, block, at, &found));
  *newest = {found.seq, found.checksum, found.hole};
  return Status::Ok();
}

Status Store::ReadBlock(FileId file, const InodeState& state, uint64_t block, Seq at, MutableBytes out,
                        Newest* newest) {
  Reconstructor::Newest found;
  DKFS_TRY(impl_->reconstructor->Block(file, state, block, at, out, &found));
  if (newest != nullptr) *newest = {found.seq, found.checksum, found.hole};
  return Status::Ok();
}

Status Store::ReadBlocks(FileId file, const InodeState& state, uint64_t first, uint64_t count, Seq at,
                         const std::function<bool(const BlockRun&)>& each) {
  return impl_->reconstructor->Blocks(file, state, first, first + count, at, [&](const dkfs::BlockRun& run) {
    return each({run.first, run.count, run.hole, run.status, run.data, run.owner});
  });
}

Result<bool> Store::ExplainsBlock(FileId file, const InodeState& state, uint64_t block, Seq at, uint64_t checksum) {
  return impl_->reconstructor->Explains(file, state, block, at, checksum);
}

Result<uint64_t> Store::NextData(FileId file, const InodeState& state, uint64_t from, Seq at) {
  return impl_->reconstructor->NextData(file, state, from, at);
}

Result<Seq> Store::ParseMoment(std::string_view text) {
  DKFS_TRY_ASSIGN(MomentText moment, ParseMomentText(text));
  const Seq last = impl_->Last();
  const Seq oldest = impl_->Oldest();
  Seq seq = last;
  if (const Seq* given = std::get_if<Seq>(&moment)) {
    seq = *given;
  } else if (const TimeSpec* time = std::get_if<TimeSpec>(&moment)) {
    Result<Seq> found = impl_->index->SeqAt(*time, oldest);
    if (found.status().IsNotFound()) {
      const auto first = impl_->FirstMoment();
      return Status::Error(ENOENT, "'" + std::string(text) + "' is before the first moment kept" +
                                       (first ? " (" + FormatTime(*first) + ")" : ""));
    }
    if (!found.ok()) return found.status();
    seq = *found;
  }
  if (seq > last) {
    return Status::Error(
        ENOENT, "'" + std::string(text) + "' is after the last record (seq:" + std::to_string(last.value) + ")");
  }
  if (seq < oldest) {
    return Status::Error(ENOENT, "'" + std::string(text) +
                                     "' is before the first moment kept (seq:" + std::to_string(oldest.value) + ")");
  }
  return seq;
}

Result<TimeSpec> Store::TimeOf(Seq seq) {
  DKFS_TRY_ASSIGN(MomentValue moment, impl_->index->Moment(seq));
  return moment.time;
}

}  // namespace dkfs
