#include "tests/golden/sample.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>

#include "store/base/file.h"
#include "tests/golden/scribe.h"

namespace dkfs::golden {
namespace {

namespace fs = std::filesystem;

constexpr size_t kDocumentBytes = 48 << 10;
constexpr std::chrono::seconds kRetain{3600};
constexpr uint64_t kSecond = 1'000'000'000;

class Maker {
 public:
  Maker(const std::string& path, const SampleOptions& options)
      : path_(path), options_(options), scribe_(options.seed) {}

  Sample Make() {
    const std::string working = path_ + ".making";
    Open(working);
    scribe_.Begin();
    First();
    Pack();
    Second();
    Pack();
    Pass(2 * kRetain);  // the first part leaves the window
    Pack();
    Third();
    Pack();
    Reopen(working);
    Fourth();
    DKFS_CHECK(store_->FlushIndex().ok());
    Tail();
    Sample sample;
    const Seq oldest = store_->GetStatus().oldest;
    DKFS_CHECK(oldest > Seq{1});
    for (const auto& [seq, tree] : scribe_.moments()) {
      if (seq >= oldest) sample.moments[seq] = tree;
    }
    End(working);
    return sample;
  }

 private:
  void Open(const std::string& path) {
    StoreOptions options = SampleStoreOptions();
    options.retain = kRetain;
    options.clock.monotonic_ns = [this] { return now_ns_; };
    options.clock.wall = [this] { return TimeSpec{static_cast<int64_t>(1'600'000'000 + now_ns_ / kSecond), 7}; };
    Result<std::unique_ptr<Store>> opened = Store::Open(path, options);
    DKFS_CHECK(opened.ok());
    store_ = std::move(opened).value();
    scribe_.Use(store_.get());
  }

  void Reopen(const std::string& path) {
    DKFS_CHECK(store_->Close().ok());
    store_.reset();
    Open(path);
  }

  void Pass(std::chrono::seconds time) {
    for (int i = 0; i < 8; ++i) {
      now_ns_ += static_cast<uint64_t>(time.count()) * kSecond / 8;
      DKFS_CHECK(store_->Maintain().ok());
    }
  }

  // Seals by closing, then packs, folds and drops until there is nothing to do.
  void Pack() {
    Reopen(path_ + ".making");
    for (int i = 0; i < 30; ++i) {
      now_ns_ += 5 * kSecond;
      Result<bool> did = store_->Maintain();
      DKFS_CHECK(did.ok());
    }
  }

  void First() {
    scribe_.Make("dir", S_IFDIR | 0750);
    scribe_.Make("dir/sub", S_IFDIR | 02775);
    scribe_.MakeFile("dir/old", kMinBlockShift);
    for (int i = 0; i < 6; ++i) scribe_.Write("dir/old", 4096u * static_cast<uint64_t>(i), scribe_.random().Text(4096));
    document_ = scribe_.random().Text(kDocumentBytes);
    scribe_.MakeFile("doc", kDefaultBlockShift);
    scribe_.Write("doc", 0, document_);
    scribe_.Make("link", S_IFLNK | 0777, 0, "dir/old");
    scribe_.Make("fifo", S_IFIFO | 0600);
    scribe_.Make("null", S_IFCHR | 0666, 0x103);
    scribe_.SetXattr("doc", "user.first", "value");
  }

  void ReplaceDocument(const std::string& words) {
    scribe_.MakeFile("doc.new", kDefaultBlockShift);
    document_.insert(5000, words);
    document_.resize(kDocumentBytes);
    scribe_.Write("doc.new", 0, document_);
    scribe_.Rename("doc.new", "doc");
  }

  void Second() {
    ReplaceDocument("some words that were not there before");
    scribe_.MakeFile("pages", kMinBlockShift);
    for (int i = 0; i < 40; ++i) Page(i % 5, i > 4);
    scribe_.Remove("dir/old");
    scribe_.SetXattr("dir", "user.gone", "soon");
    scribe_.Link("pages", "dir/sub/pages2");
  }

  void Third() {
    scribe_.RemoveXattr("dir", "user.gone");
    for (int i = 0; i < 25; ++i) Page(i % 7, true);
    scribe_.Punch("pages", 1, 3);
    ReplaceDocument("and more of them");
    scribe_.Truncate("doc", 4 * 8192);
    scribe_.Relayout("doc", {16, {true, 1, 48}});  // larger blocks, of which a write changes a part
    scribe_.Write("doc", 3000, scribe_.random().Text(200), true);
    scribe_.Relayout("pages", {12, {false, 0, 8}});
    for (int i = 0; i < 5; ++i) Page(i, true);
    const std::string same = scribe_.random().Text(16 << 10);
    for (const char* path : {"dir/copy", "dir/copy2"}) {
      scribe_.MakeFile(path, kDefaultBlockShift);
      scribe_.Write(path, 8192, same);
    }
    scribe_.Adopt("adopted", 5 * 4096);
    scribe_.Write("adopted", 4096, scribe_.random().Text(4096));
    for (int i = 0; i < 6; ++i) scribe_.Make("dir/sub/e" + std::to_string(i), S_IFREG | 0600);
    scribe_.Rename("dir/sub/e0", "dir/sub/e1");
    scribe_.Remove("fifo");
  }

  void Fourth() {
    scribe_.MakeFile("big", kMinBlockShift);
    for (uint64_t i = 0; i < 3; ++i) scribe_.Write("big", i * 3 * 4096, scribe_.random().Text(2 * 4096));
    scribe_.Write("big", 2 * 4096, std::string(4096, '\0'));
    scribe_.WriteVoided("pages", 0, scribe_.random().Text(500));
    Page(2, true);
    Page(2, true);
    scribe_.Chmod("doc", 0600);
    scribe_.Write("doc", 100, "written into the unit");
  }

  void Tail() {
    scribe_.Make("dir/last", S_IFDIR | 0700);
    scribe_.MakeFile("dir/last/tail", kMinBlockShift);
    scribe_.Write("dir/last/tail", 0, scribe_.random().Text(5000));
    DKFS_CHECK(store_->Sync().ok());
    for (int i = 0; i < 6; ++i) Page(i, true);
    scribe_.Remove("dir/sub/e2");
    DKFS_CHECK(store_->Sync().ok());
    scribe_.SetXattr("doc", "user.last", "one");  // says that what is before it was synced
    scribe_.Write("dir/last/tail", 5000, scribe_.random().Text(100), true);
  }

  void Page(int page, bool delta) {
    scribe_.Write("pages", static_cast<uint64_t>(page) * 4096 + scribe_.random().Below(3000),
                  scribe_.random().Text(delta ? 60 : 1000), delta);
  }

  void End(const std::string& working) {
    if (options_.clean) {
      DKFS_CHECK(store_->MarkClean("golden").ok());
      DKFS_CHECK(store_->Close().ok());
      store_.reset();
      fs::rename(working, path_);
      return;
    }
    // As a kill at this moment leaves it. Files may come and go while they are copied; such a copy is no moment.
    std::error_code error;
    do {
      fs::remove_all(path_);
      fs::copy(working, path_, fs::copy_options::recursive, error);
    } while (error);
    store_.reset();
    fs::remove_all(working);
  }

  const std::string path_;
  const SampleOptions options_;
  Scribe scribe_;
  std::unique_ptr<Store> store_;
  std::string document_;
  uint64_t now_ns_ = kSecond;
};

}  // namespace

StoreOptions SampleStoreOptions() {
  StoreOptions options;
  options.background = false;
  options.segment_bytes = 128 << 10;
  options.retain = std::chrono::hours(24 * 365);
  options.budget_bytes = uint64_t{1} << 50;
  return options;
}

Sample MakeSample(const std::string& path, const SampleOptions& options) { return Maker(path, options).Make(); }

}  // namespace dkfs::golden
