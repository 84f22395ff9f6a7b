#include "tests/unit/fs/hydrate/model.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "store/base/file.h"
#include "store/base/hash.h"

namespace dkfs {
namespace {

namespace stdfs = std::filesystem;
constexpr size_t kBlock = 4096;

std::string ReadWhole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void WriteWhole(const std::string& path, const std::string& content) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << content;
  ASSERT_TRUE(out.good()) << path;
}

// Versions for the blocks of [first, end) of `content`.
void AddBlocks(RecordBuilder* record, FileId file, const InodeState& state, const std::string& content, size_t first,
               size_t end) {
  std::vector<BlockVersion> versions;
  std::vector<Bytes> payload;
  for (size_t block = first; block < end; ++block) {
    const std::string_view bytes = std::string_view(content).substr(block * kBlock, kBlock);
    BlockVersion version;
    version.checksum = HashZeroPadded(AsBytes(bytes), kBlock);
    version.kind = IsAllZero(AsBytes(bytes)) ? BlockKind::kHole : BlockKind::kBaseline;
    if (version.kind == BlockKind::kBaseline) {
      version.stored_bytes = static_cast<uint32_t>(bytes.size());
      payload.push_back(AsBytes(bytes));
    }
    versions.push_back(version);
  }
  if (!versions.empty()) record->Blocks(file, state.layout, state.block_shift, first, versions, payload);
}

}  // namespace

HydrateModel::HydrateModel(const std::string& root) : root_(root), dir_(root + "/dir") {
  stdfs::create_directories(dir_);
  StoreOptions options;
  options.background = false;
  options.segment_bytes = 4 << 20;
  Result<std::unique_ptr<Store>> opened = Store::Open(root + "/store", options);
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  store = std::move(opened).value();
  RecordBuilder record;
  InodeState state = NewState(S_IFDIR | 0755);
  record.Inode(kRootFile, state);
  EXPECT_TRUE(store->Append(record).ok());
  tree[""] = {kRootFile, state.mode, ""};
}

HydrateModel::~HydrateModel() {
  Drop();
  EXPECT_TRUE(store->Close().ok());
}

InodeState HydrateModel::NewState(mode_t mode) {
  static int64_t second = 1'000'000;
  InodeState state;
  state.mode = mode;
  state.uid = ::getuid();
  state.gid = ::getgid();
  state.nlink = S_ISDIR(mode) ? 2 : 1;
  state.block_shift = 12;
  state.atime = state.mtime = state.ctime = {++second, 123};
  return state;
}

FileId HydrateModel::DirOf(const std::string& path, std::string* name) {
  const size_t slash = path.rfind('/');
  *name = slash == std::string::npos ? path : path.substr(slash + 1);
  return tree.at(slash == std::string::npos ? "" : path.substr(0, slash)).id;
}

FileId HydrateModel::Add(const std::string& path, const InodeState& state, RecordBuilder* record) {
  const FileId file = store->NewFile();
  std::string name;
  const FileId parent = DirOf(path, &name);
  record->Inode(file, state);
  record->Name(parent, store->NewEntry(), name, file, static_cast<uint8_t>((state.mode & S_IFMT) >> 12));
  tree[path] = {file, state.mode, ""};
  return file;
}

FileId HydrateModel::MakeDir(const std::string& path) {
  RecordBuilder record;
  const FileId file = Add(path, NewState(S_IFDIR | 0750), &record);
  EXPECT_TRUE(store->Append(record).ok());
  return file;
}

FileId HydrateModel::MakeFile(const std::string& path, const std::string& content, bool adopting) {
  RecordBuilder record;
  InodeState state = NewState(S_IFREG | 0640);
  state.size = content.size();
  if (adopting) {
    state.content = ContentState::kAdopting;
    state.adopted_size = state.size;
  }
  const FileId file = Add(path, state, &record);
  if (!adopting) AddBlocks(&record, file, state, content, 0, (content.size() + kBlock - 1) / kBlock);
  EXPECT_TRUE(store->Append(record).ok());
  tree[path].content = content;
  return file;
}

FileId HydrateModel::MakeSpecial(const std::string& path, mode_t mode, const std::string& target) {
  RecordBuilder record;
  InodeState state = NewState(mode);
  state.symlink_target = target;
  state.size = target.size();
  const FileId file = Add(path, state, &record);
  EXPECT_TRUE(store->Append(record).ok());
  tree[path].content = target;
  return file;
}

void HydrateModel::Link(const std::string& from, const std::string& to) {
  std::string name;
  const FileId parent = DirOf(to, &name);
  const FileId file = tree.at(from).id;
  InodeState state = *store->GetInode(file);
  ++state.nlink;
  RecordBuilder record;
  record.Inode(file, state);
  record.Name(parent, store->NewEntry(), name, file, static_cast<uint8_t>((state.mode & S_IFMT) >> 12));
  EXPECT_TRUE(store->Append(record).ok());
  tree[to] = tree.at(from);
}

void HydrateModel::Write(const std::string& path, size_t offset, const std::string& bytes) {
  const FileId file = tree.at(path).id;
  std::string content = tree.at(path).content;
  content.resize(std::max(content.size(), offset + bytes.size()));
  content.replace(offset, bytes.size(), bytes);
  InodeState state = *store->GetInode(file);
  state.size = content.size();
  RecordBuilder record;
  record.Inode(file, state);
  AddBlocks(&record, file, state, content, offset / kBlock, (offset + bytes.size() + kBlock - 1) / kBlock);
  EXPECT_TRUE(store->Append(record).ok());
  for (auto& [name, other] : tree) {
    if (other.id == file) other.content = content;
  }
}

void HydrateModel::Truncate(const std::string& path, size_t size) {
  const FileId file = tree.at(path).id;
  std::string content = tree.at(path).content;
  const bool shorter = size < content.size();
  content.resize(size);
  InodeState state = *store->GetInode(file);
  state.size = size;
  RecordBuilder record;
  record.Inode(file, state);
  if (shorter) {
    if (size % kBlock != 0) AddBlocks(&record, file, state, content, size / kBlock, size / kBlock + 1);
    record.Range(file, state.layout, (size + kBlock - 1) / kBlock, kEndOfFile);
  }
  EXPECT_TRUE(store->Append(record).ok());
  for (auto& [name, other] : tree) {
    if (other.id == file) other.content = content;
  }
}

void HydrateModel::SetXattr(const std::string& path, const std::string& name, const std::string& value) {
  RecordBuilder record;
  record.Xattr(tree.at(path).id, name, value);
  EXPECT_TRUE(store->Append(record).ok());
}

void HydrateModel::Damage(const std::string& path, size_t offset, const std::string& bytes) {
  UniqueFd fd(::open(PathIn(path).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(fd.valid()) << path;
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
}

void HydrateModel::EmptyDir() {
  for (const auto& entry : stdfs::directory_iterator(dir_)) stdfs::remove_all(entry.path());
}

void HydrateModel::Make(const std::string& path, const ModelFile& file) {
  const std::string at = PathIn(path);
  for (const auto& [name, other] : tree) {
    if (name < path && other.id == file.id) {
      ASSERT_EQ(::link(PathIn(name).c_str(), at.c_str()), 0) << path;
      return;
    }
  }
  if (S_ISDIR(file.mode)) {
    stdfs::create_directory(at);
  } else if (S_ISREG(file.mode)) {
    WriteWhole(at, file.content);
  } else if (S_ISLNK(file.mode)) {
    ASSERT_EQ(::symlink(file.content.c_str(), at.c_str()), 0);
  } else {
    ASSERT_EQ(::mknod(at.c_str(), file.mode, 0), 0) << path;
  }
}

void HydrateModel::FillDir() {
  EmptyDir();
  for (const auto& [path, file] : tree) {
    if (!path.empty()) Make(path, file);
  }
}

void HydrateModel::Start(bool trusted, uint64_t aside_budget) {
  HydrateOptions options;
  options.trusted = trusted;
  options.bytes_per_second = 0;
  options.aside_budget_bytes = aside_budget;
  Start(options);
}

void HydrateModel::Start(const HydrateOptions& options) {
  Drop();
  backing = std::make_unique<Backing>(UniqueFd(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)), dir_);
  inodes = std::make_unique<InodeTable>(store.get());
  hydrator = std::make_unique<Hydrator>(store.get(), backing.get(), inodes.get(), &tree_lock, options);
}

void HydrateModel::Drop() {
  hydrator.reset();
  inodes.reset();
  backing.reset();
}

Status HydrateModel::Finish() { return hydrator->Finish(nullptr); }

InodeRef HydrateModel::Get(const std::string& path) {
  Result<InodeRef> ref = inodes->Get(tree.at(path).id);
  EXPECT_TRUE(ref.ok()) << ref.status().ToString();
  return std::move(ref).value();
}

Result<std::string> HydrateModel::Read(const std::string& path, uint64_t offset, size_t length) {
  InodeRef ref = Get(path);
  SharedLock t(tree_lock);
  ExclusiveLock l(ref->lock);
  DKFS_TRY(hydrator->Prepare(*ref, path));
  const size_t end = std::min<size_t>(ref->state.size, offset + length);
  if (offset >= end) return std::string();
  const uint64_t first = offset / kBlock;
  DKFS_TRY(hydrator->MakePresent(*ref, first, (end - 1) / kBlock - first + 1));
  std::string out(end - offset, '\0');
  DKFS_TRY_ASSIGN(const size_t n, file::ReadAt(ref->backing.get(),
                                               {reinterpret_cast<std::byte*>(out.data()), out.size()}, offset, path));
  EXPECT_EQ(n, out.size());
  return out;
}

std::string HydrateModel::Backed(const std::string& path) const { return ReadWhole(PathIn(path)); }

void HydrateModel::ExpectComplete() {
  std::set<std::string> there;
  for (const auto& entry : stdfs::recursive_directory_iterator(dir_)) {
    there.insert(entry.path().lexically_relative(dir_));
  }
  std::map<uint64_t, FileId> owner;  // H4
  for (const auto& [path, file] : tree) {
    EXPECT_EQ(there.erase(path), path.empty() ? 0u : 1u) << path << " is missing";
    struct stat st;
    ASSERT_EQ(::lstat(PathIn(path).c_str(), &st), 0) << path;
    EXPECT_EQ(st.st_mode, file.mode) << path;
    const InodeState state = *store->GetInode(file.id);
    EXPECT_EQ(st.st_mtim.tv_sec, state.mtime.sec) << path;
    EXPECT_TRUE(!S_ISREG(file.mode) || ReadWhole(PathIn(path)) == file.content) << path << " has other content";
    EXPECT_TRUE(!S_ISLNK(file.mode) || stdfs::read_symlink(PathIn(path)) == file.content) << path;
    EXPECT_TRUE(S_ISDIR(file.mode) || st.st_nlink == state.nlink) << path;
    EXPECT_EQ(owner.emplace(st.st_ino, file.id).first->second, file.id) << path << " shares its inode";
  }
  for (const std::string& path : there) ADD_FAILURE() << path << " should not be there";
}

std::vector<std::string> HydrateModel::AsideFiles() const {
  std::vector<std::string> out;
  if (!stdfs::exists(root_ + "/store/aside")) return out;
  for (const auto& set : stdfs::directory_iterator(root_ + "/store/aside")) {
    for (const auto& entry : stdfs::recursive_directory_iterator(set.path())) {
      out.push_back(entry.path().lexically_relative(set.path()));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace dkfs
