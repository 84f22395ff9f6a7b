#include "tests/crash/damage/trial.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "store/replay/restore.h"
#include "store/verify/verify.h"
#include "tests/golden/sample.h"
#include "tests/support/temp_dir.h"

namespace dkfs::damage {
namespace {

namespace fs = std::filesystem;
using golden::Check;
using golden::Node;
using golden::Tree;

class Trial {
 public:
  Trial(const Variant& variant, const std::string& store, const std::string& scratch,
        const std::map<Seq, Tree>& moments)
      : variant_(variant), path_(store), scratch_(scratch), moments_(moments) {}

  Outcome Run() {
    Read();
    CheckVerify();
    Classify();
    Write();
    return std::move(out_);
  }

 private:
  Seq last() const { return moments_.rbegin()->first; }
  void Broken(const std::string& what) { out_.broken.push_back(what); }
  void Note(const std::string& text) { out_.notes += (out_.notes.empty() ? "" : "; ") + text; }

  std::unique_ptr<Store> Open(StoreOptions::Mode mode, const std::string& what) {
    StoreOptions options = golden::SampleStoreOptions();
    options.mode = mode;
    options.create = false;
    Result<std::unique_ptr<Store>> opened = Store::Open(path_, options);
    if (opened.ok()) return std::move(opened).value();
    const Status& status = opened.status();
    Note(what + " refused: " + status.ToString());
    const std::string text(status.context());
    const bool clear = text.find(path_) != std::string::npos && text.find('\n') == std::string::npos;
    if (!clear) Broken("D1: " + what + " says '" + status.ToString() + "'");
    const int code = status.code();
    if (code != EUCLEAN && code != ENOTSUP && code != EBADMSG && code != ENOENT) {
      Broken("D1: " + what + " fails with errno " + std::to_string(code) + ": " + status.ToString());
    }
    return nullptr;
  }

  // Every moment that the store says it has, newest first. Returns how many things were refused.
  uint64_t CheckMoments(Store& store, Seq end, const char* what) {
    uint64_t refused = 0;
    const Seq oldest = store.GetStatus().oldest;
    for (auto it = moments_.rbegin(); it != moments_.rend(); ++it) {
      if (it->first > end || it->first < oldest) continue;
      const Check check = CheckTree(store, it->second, it->first);
      if (!check.wrong.empty()) {
        Broken(std::string("D2: ") + what + ": " + check.wrong);
        return refused;
      }
      if (refused == 0 && check.refused > 0) Note("e.g. " + check.first_refusal);
      for (int code : check.codes) {
        if (code != EUCLEAN && code != ENOTSUP) Note("errno " + std::to_string(code));
      }
      refused += check.refused;
    }
    return refused;
  }

  void Read() {
    std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadOnly, "open for reading");
    if (store == nullptr) return;
    opened_ = true;
    const StoreStatus status = store->GetStatus();
    appended_ = status.appended;
    told_ = !status.error.ok();
    if (told_) Note("told: " + status.error.ToString());
    refused_ = CheckMoments(*store, appended_, "reading");
    const bool shorter = appended_ < last() || status.oldest > moments_.begin()->first;
    if (shorter && !told_ && (appended_ < variant_.floor || status.oldest > moments_.begin()->first)) {
      Broken("D3: reading: records end at seq " + std::to_string(appended_.value) + ", not a word, floor " +
             std::to_string(variant_.floor.value));
    }
    if (geteuid() == 0) CheckRestore(*store);
  }

  void CheckRestore(Store& store) {
    if (!moments_.contains(appended_)) return;
    const Tree& tree = moments_.at(appended_);
    RestoreOptions options;
    options.keep_going = true;
    std::string said;
    options.on_problem = [&](const std::string& line) { said += line + "\n"; };
    RestoreResult result;
    const std::string to = scratch_ + "/out";
    const Status status = RestoreTree(store, appended_, to, options, &result);
    if (status.ok() != (result.problems == 0) && status.ok()) Broken("D5: restore is Ok with problems");
    fs::create_directories(to);
    const bool nothing = result.problems == 0 && !status.ok();  // not even a root
    const std::string wrong = nothing ? "" : CompareRestored(tree, to, said, !status.ok());
    if (!wrong.empty()) Broken("D5: " + wrong);
    fs::remove_all(to);
  }

  // "" when `to` holds the tree; with `partly`, pieces that `said` names may be missing or zeros.
  static std::string CompareRestored(const Tree& tree, const std::string& to, const std::string& said, bool partly) {
    const auto said_of = [&](const std::string& path) {
      for (std::string above = path;; above.resize(above.rfind('/') == std::string::npos ? 0 : above.rfind('/'))) {
        if (partly && said.find(above.empty() ? ". as of" : above + " as of") != std::string::npos) return true;
        if (above.empty()) return false;
      }
    };
    const auto excused = [&](const std::string& path) {  // what was said of one name goes for all names of an inode
      return std::any_of(tree.begin(), tree.end(), [&](const auto& other) {
        return other.second.file == tree.at(path).file && said_of(other.first);
      });
    };
    for (const auto& [path, node] : tree) {
      struct stat st;
      if (lstat((to + "/" + path).c_str(), &st) != 0) {
        if (!excused(path)) return path + " was not restored and not named";
        continue;
      }
      if (!S_ISREG(node.state.mode)) continue;
      const std::string content = test::ContentOf(to + "/" + path);
      const size_t bytes = size_t{1} << node.state.block_shift;
      for (uint64_t at = 0; at < node.state.size; at += bytes) {
        const auto held = node.blocks.find(at / bytes);
        const std::string zeros(bytes, '\0');
        const std::string& block = held == node.blocks.end() || !held->second ? zeros : *held->second;
        const std::string found = content.substr(std::min<size_t>(at, content.size()), bytes);
        if (found == block.substr(0, std::min<size_t>(bytes, node.state.size - at))) continue;
        const bool left_out = IsAllZero(AsBytes(found)) && excused(path);
        if (!left_out) return path + " restored with wrong bytes at " + std::to_string(at);
      }
    }
    return "";
  }

  void CheckVerify() {
    std::string first;
    bool named = false;
    const std::string name = fs::path(variant_.file).filename();
    VerifyOptions options;
    options.on_damage = [&](const std::string& line) {
      if (first.empty()) first = line;
      const bool index = variant_.file.starts_with("index") && line.find("index") != std::string::npos;
      const bool foreign = variant_.file == "FORMAT" && line.find("another store") != std::string::npos;
      named |= index || foreign || line.find(name) != std::string::npos;
      if (line.find('\n') != std::string::npos) Broken("D4: verify says several lines at once: " + line);
    };
    VerifyResult result;
    const Status status = Verify(path_, options, &result);
    if (!status.ok()) options.on_damage(status.ToString());
    silent_ = status.ok() && result.damages == 0;
    Note(silent_ ? "verify finds nothing" : "verify: " + first);
    if (silent_ && refused_ > 0) Broken("D4: verify finds nothing, though reading fails");
    if (silent_ && variant_.harmless.empty()) Broken("D4: verify finds nothing");
    if (!silent_ && !named && !variant_.nameless) Broken("D4: verify does not name the file: " + first);
  }

  void Classify() {
    out_.sort = "no effect";
    if (!silent_) out_.sort = "told, everything served";
    if (opened_ && appended_ < last()) out_.sort = told_ ? "served up to the damage" : "as after loss of power";
    if (refused_ > 0) out_.sort = "served with EIO";
    if (!opened_) out_.sort = "clear error";
  }

  void Write() {
    std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadWrite, "open for writing");
    if (store == nullptr) return;
    const StoreStatus status = store->GetStatus();
    if (status.appended < last() && status.appended < variant_.floor) {
      Broken("D3: writing: records end at seq " + std::to_string(status.appended.value) + ", floor " +
             std::to_string(variant_.floor.value));
    }
    CheckMoments(*store, status.appended, "writing");
    RecordBuilder record;
    record.Xattr(kRootFile, "user.after", "x");
    Result<Seq> seq = store->Append(record);
    if (!seq.ok()) {
      Note("append: " + seq.status().ToString());
      return;
    }
    const Status synced = store->Sync();
    for (int i = 0; i < 3; ++i) {
      Result<bool> maintained = store->Maintain();
      if (!maintained.ok()) Note("maintain: " + maintained.status().ToString());
    }
    const Status closed = store->Close();
    if (!closed.ok()) Note("close: " + closed.ToString());
    store.reset();
    if (synced.ok()) CheckWritten(*seq, status.appended);
  }

  void CheckWritten(Seq seq, Seq before) {
    std::unique_ptr<Store> store = Open(StoreOptions::Mode::kReadOnly, "open again");
    if (store == nullptr) return Broken("D6: cannot be opened again");
    if (store->GetStatus().appended < seq) return Broken("D6: a synced record is gone");
    Result<std::string> value = store->GetXattr(kRootFile, "user.after");
    if (value.status().IsNotFound() || (value.ok() && *value != "x")) Broken("D6: the record is not there");
    CheckMoments(*store, before, "reading again");
  }

  const Variant& variant_;
  const std::string path_, scratch_;
  const std::map<Seq, Tree>& moments_;
  Outcome out_;
  bool opened_ = false, told_ = false, silent_ = false;
  Seq appended_;
  uint64_t refused_ = 0;
};

}  // namespace

Outcome Try(const Variant& variant, const std::string& store, const std::string& scratch,
            const std::map<Seq, Tree>& moments) {
  return Trial(variant, store, scratch, moments).Run();
}

}  // namespace dkfs::damage
