#include "tests/crash/damage/variants.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <tuple>

#include "store/base/hash.h"
#include "tests/crash/damage/segments.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace dkfs::damage {
namespace {

namespace fs = std::filesystem;
using test::ContentOf;
using test::PutFile;

std::string Hex(uint64_t n) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(n));
  return text;
}

// Files below the store, sorted.
std::vector<std::string> FilesOf(const std::string& store) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(store)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), store));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// "segment", "pack", "table" and so on: files of one kind can take each other's place.
std::string KindOf(const std::string& file) {
  const fs::path path(file);
  if (path.extension() == ".seg" || path.extension() == ".pack" || path.extension() == ".sst") {
    return path.extension();
  }
  const std::string name = path.filename();
  return name.substr(0, name.find('-'));
}

class Maker {
 public:
  explicit Maker(const Corpus& corpus) : corpus_(corpus), layouts_(LayoutsOf(corpus.store)) {}

  std::vector<Variant> Run() {
    files_ = FilesOf(corpus_.store);
    for (const std::string& file : files_) Plain(file);
    for (const SegmentLayout& layout : layouts_) Segment(layout);
    for (const SegmentLayout& layout : layouts_) WithoutIndex(layout);
    Directories();
    Newer();
    return std::move(variants_);
  }

 private:
  using Change = std::function<void(std::string*)>;

  // A change to the content of one file.
  Variant& Edit(const std::string& what, const std::string& file, const std::string& where, Change change) {
    Variant v;
    v.name = what + " " + file + (where.empty() ? "" : " " + where);
    v.file = file;
    v.apply = [file, change](const std::string& store) {
      std::string content = ContentOf(store + "/" + file);
      change(&content);
      PutFile(store + "/" + file, content);
    };
    v.harmless = Harmless(file);
    v.floor = corpus_.last;
    variants_.push_back(std::move(v));
    return variants_.back();
  }

  // Something done to the file as a whole.
  Variant& Act(const std::string& what, const std::string& file, std::function<void(const fs::path&)> act) {
    Variant v;
    v.name = what + " " + file;
    v.file = file;
    v.apply = [file, act](const std::string& store) { act(fs::path(store) / file); };
    v.harmless = Harmless(file);
    v.floor = FloorWithout(file, 0);
    if (KindOf(file) == ".seg") v.harmless = Lost(v.floor);
    v.weight = 4;
    variants_.push_back(std::move(v));
    return variants_.back();
  }

  void Flip(const std::string& file, uint64_t at, int bit) {
    Edit("flip", file, Hex(at) + "." + std::to_string(bit),
         [at, bit](std::string* content) { (*content)[at] = static_cast<char>((*content)[at] ^ (1 << bit)); });
  }

  static std::string Harmless(const std::string& file) {
    const std::string name = fs::path(file).filename();
    if (file == "LOCK") return "its text is for messages only";
    if (file == "clean") return "without it everything is checked";
    if (name == "reserve" || name.ends_with(".tmp")) return "empty space, made again";
    if (name.starts_with("OPTIONS-") || name == "IDENTITY" || name == "LOCK" || name.ends_with(".log")) {
      return "RocksDB makes it again, nothing is read from it";
    }
    if (name == "FLUSHES") return "a second witness against a MANIFEST cut short; alone it says nothing";
    return "";
  }

  // The highest Seq that still has to be there when the records of `file` from `offset` on are gone.
  Seq FloorWithout(const std::string& file, uint64_t offset, bool only_one = false) const {
    return std::max(corpus_.indexed, ProvedWithout(file, offset, only_one));
  }

  // Up to where the records that are left prove that all had been synced.
  Seq ProvedWithout(const std::string& file, uint64_t offset, bool only_one = true) const {
    Seq floor;
    for (const SegmentLayout& layout : layouts_) {
      if (layout.header.kind == SegmentKind::kPack) continue;
      for (const Place& place : layout.records) {
        const bool gone = layout.file == file && (only_one ? place.offset == offset : place.offset >= offset);
        if (!gone) floor = std::max(floor, place.header.synced);
      }
    }
    return floor;
  }

  void Plain(const std::string& file) {
    const std::string content = ContentOf(corpus_.store + "/" + file);
    const bool segment = KindOf(file) == ".seg" || KindOf(file) == ".pack";
    if (!segment) Cuts(file, content.size());
    if (!segment) Flips(file, content.size());
    Whole(file, content.size());
    Exchange(file);
  }

  void Cuts(const std::string& file, uint64_t size) {
    std::set<uint64_t> ends;
    const uint64_t step = std::max<uint64_t>(1, size / 24);
    for (uint64_t end = 0; end < size; end += step) ends.insert(end);
    for (uint64_t less : {1, 8, 48, 53}) {
      if (size > less) ends.insert(size - less);
    }
    for (uint64_t end : ends) Cut(file, end);
  }

  Variant& Cut(const std::string& file, uint64_t end) {
    Variant& v = Edit("cut", file, Hex(end), [end](std::string* content) { content->resize(end); });
    const std::string text = file == "FORMAT" ? ContentOf(corpus_.store + "/" + file) : "";
    if (!text.empty() && end > text.find("\ncreated")) v.harmless = "the time of its making is for people";
    if (KindOf(file) == "MANIFEST") v.harmless = "RocksDB takes it for a write cut short; no flush was lost";
    return v;
  }

  void Flips(const std::string& file, uint64_t size) {
    test::Random random(Hash64(AsBytes(file)));
    const bool small = size < 2048 && !file.ends_with(".sst");
    const uint64_t step = small ? 1 : file.find("OPTIONS") != std::string::npos ? 4096 : 24;
    for (uint64_t at = 0; at < size; at += step) {
      const uint64_t place = at + random.Below(std::min(step, size - at));
      Flip(file, place, static_cast<int>(random.Below(8)));
    }
    if (file != "FORMAT") return;
    const std::string text = ContentOf(corpus_.store + "/" + file);
    for (Variant& v : variants_) {
      const uint64_t at =
          v.file == file && v.name.starts_with("flip") ? std::stoull(v.name.substr(12), nullptr, 16) : 0;
      if (at > text.find("\ncreated")) v.harmless = "the time of its making is for people";
      if (at > text.find("uuid ") + 4 && v.name.ends_with(".5")) v.harmless = "a hexadecimal digit in the other case";
    }
  }

  void Whole(const std::string& file, uint64_t size) {
    Act("remove", file, [](const fs::path& path) { fs::remove(path); });
    Act("empty-directory", file, [](const fs::path& path) { Instead(path, [&] { fs::create_directory(path); }); });
    Act("fifo", file, [](const fs::path& path) { Instead(path, [&] { ::mkfifo(path.c_str(), 0600); }); });
    Act("loop", file, [](const fs::path& path) { Instead(path, [&] { fs::create_symlink(path.filename(), path); }); });
    Act("dangling", file, [](const fs::path& path) { Instead(path, [&] { fs::create_symlink("nowhere", path); }); });
    Act("device", file, [](const fs::path& path) { Instead(path, [&] { fs::create_symlink("/dev/zero", path); }); });
    if (size > 0) {
      Edit("zeros", file, "", [](std::string* c) { c->assign(c->size(), '\0'); }).floor = FloorWithout(file, 0);
    }
    Edit("garbage", file, "16", [](std::string* c) { *c += test::Random(5).Text(16); });
    Edit("garbage", file, "9000", [](std::string* c) { *c += test::Random(5).Text(9000); });
    Tail(file, &variants_.back());
    Tail(file, &variants_[variants_.size() - 2]);
    Act("huge", file, [](const fs::path& path) { fs::resize_file(path, uint64_t{1} << 34); }).floor = corpus_.last;
    Tail(file, &variants_.back());
  }

  // What lies behind zeros that were not written yet is nothing; neither is it in text of which the first lines count.
  void Tail(const std::string& file, Variant* v) const {
    for (const SegmentLayout& layout : layouts_) {
      if (layout.file == file && layout.end < layout.size) v->harmless = "behind the end";
    }
    if (file == "FORMAT" || file == "index/CURRENT") v->harmless = "behind what is read";
    if (KindOf(file) == "MANIFEST") v->harmless = "RocksDB takes it for a write cut short";
    if ((KindOf(file) == ".seg" || KindOf(file) == ".pack") && v->name.starts_with("huge"))
      v->harmless = "zeros behind the end";
  }

  static void Instead(const fs::path& path, const std::function<void()>& make) {
    fs::remove(path);
    make();
  }

  void Exchange(const std::string& file) {
    for (const std::string& with : files_) {
      if (with <= file || KindOf(with) != KindOf(file) || KindOf(file) == "reserve") continue;
      Variant v;
      v.name = "swap " + file + " " + with;
      v.file = file;
      v.apply = [file, with](const std::string& store) {
        fs::rename(store + "/" + file, store + "/swapped");
        fs::rename(store + "/" + with, store + "/" + file);
        fs::rename(store + "/swapped", store + "/" + with);
      };
      v.harmless = Harmless(file);
      v.floor = corpus_.last;
      variants_.push_back(std::move(v));
    }
    std::string foreign;  // of the same name, else of the same kind
    for (const std::string& candidate : FilesOf(corpus_.other)) {
      if (candidate == file || (foreign.empty() && KindOf(candidate) == KindOf(file))) foreign = candidate;
    }
    if (foreign.empty()) return;
    const std::string from = corpus_.other + "/" + foreign;
    Act("foreign", file,
        [from](const fs::path& path) { fs::copy_file(from, path, fs::copy_options::overwrite_existing); });
  }

  void Segment(const SegmentLayout& layout) {
    for (uint64_t end : {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{4088}}) CutSegment(layout, end);
    test::Random random(layout.header.id.value);
    for (uint64_t at = 0; at < 112; ++at) Flip(layout.file, at, static_cast<int>(random.Below(8)));
    for (int i = 0; i < 16; ++i) Flip(layout.file, 112 + random.Below(3976), static_cast<int>(random.Below(8)));
    for (uint64_t at = 4088; at < 4096; ++at) Flip(layout.file, at, static_cast<int>(random.Below(8)));
    for (const Place& place : layout.records) Record(layout, place, &random);
    if (layout.end == layout.size) return;
    CutSegment(layout, layout.end);
    for (uint64_t at : {layout.end, layout.end + 40, layout.end + 5000, layout.size - 1}) {
      Flip(layout.file, at, 3);
      variants_.back().harmless = "no record was there yet";
      CutSegment(layout, at);
    }
  }

  void CutSegment(const SegmentLayout& layout, uint64_t end) {
    Variant& v = Cut(layout.file, end);
    v.floor = FloorWithout(layout.file, 0);
    uint64_t whole = kSegmentHeaderBytes;
    for (const Place& place : layout.records) {
      if (place.offset + place.header.length <= end) whole = place.offset + place.header.length;
    }
    if (end >= kSegmentHeaderBytes) v.floor = FloorWithout(layout.file, whole);
    if (end >= layout.end && layout.end < layout.size) v.harmless = "behind the end";
    if (end >= kSegmentHeaderBytes && IsJournal(layout) && v.harmless.empty()) v.harmless = Lost(v.floor);
  }

  static bool IsJournal(const SegmentLayout& layout) { return layout.header.kind == SegmentKind::kJournal; }
  std::string Lost(Seq floor) const { return floor < corpus_.last ? "as if it had not been synced" : ""; }

  void Record(const SegmentLayout& layout, const Place& place, test::Random* random) {
    const Seq floor = FloorWithout(layout.file, place.offset, true);
    const size_t first = variants_.size();
    static constexpr uint64_t kFields[] = {0, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 56, 60, 64, 72};
    for (uint64_t field : kFields) {
      Flip(layout.file, place.offset + field + random->Below(2), static_cast<int>(random->Below(8)));
    }
    const uint64_t stored = place.header.stored_bytes;
    for (int i = 0; i < 4; ++i) {
      Flip(layout.file, place.offset + kRecordHeaderBytes + random->Below(stored), static_cast<int>(random->Below(8)));
    }
    Edit("page", layout.file, Hex(place.offset), [at = place.offset](std::string* c) {
      c->replace(at, std::min<size_t>(512, c->size() - at), std::min<size_t>(512, c->size() - at), '\0');
    });
    for (size_t i = first; i < variants_.size(); ++i) {
      variants_[i].floor = floor;
      if (IsJournal(layout)) variants_[i].harmless = Lost(floor);
    }
    variants_.back().floor = FloorWithout(layout.file, place.offset);  // several records may go
    if (const uint64_t padding = place.header.length - kRecordHeaderBytes - stored; padding > 0) {
      Flip(layout.file, place.offset + place.header.length - 1, 2);
      variants_.back().harmless = "padding";
    }
    for (uint64_t inside : {uint64_t{0}, uint64_t{8}, uint64_t{40}, uint64_t{81}, uint64_t{place.header.length} / 2}) {
      CutSegment(layout, place.offset + inside);
    }
  }

  // A lost index and a damaged segment at once.
  void WithoutIndex(const SegmentLayout& layout) {
    const std::string& file = layout.file;
    AfterLosingIndex(&Edit("unindexed", file, "header", [](std::string* c) { (*c)[20] ^= 1; }));
    for (const Place& place : layout.records) {
      const uint64_t at = place.offset;
      const bool unproved = IsJournal(layout) && ProvedWithout(file, at) < place.header.seq;
      for (const auto& [what, byte] : {std::pair{"record-header-", at + 33}, std::pair{"record-body-", at + 90}}) {
        Variant& v = Edit("unindexed", file, what + Hex(at), [byte = byte](std::string* c) { (*c)[byte] ^= 1; });
        AfterLosingIndex(&v);
        v.nameless = unproved;
      }
    }
    Variant& v = Act("unindexed-remove", file, [](const fs::path& path) { fs::remove(path); });
    AfterLosingIndex(&v);
    v.nameless = true;
  }

  void AfterLosingIndex(Variant* v) {
    v->apply = [apply = v->apply](const std::string& store) {
      fs::remove(store + "/index/CURRENT");
      apply(store);
    };
    v->harmless.clear();
    v->floor = Seq{};  // judged by what is said: a store without index tells where its records end
    v->weight = 2;
  }

  void Directories() {
    for (const char* name : {"journal", "index", "aside"}) {
      const std::string none = name == std::string("aside") ? "no part of history" : "";
      Act("remove", name, [](const fs::path& path) { fs::remove_all(path); }).harmless = none;
      Act("file", name, [](const fs::path& path) {
        fs::remove_all(path);
        PutFile(path, "x");
      }).harmless = none;
      Act("empty", name, [](const fs::path& path) {
        fs::remove_all(path);
        fs::create_directory(path);
      }).harmless = none;
    }
    for (const char* name : {"clean.tmp", "index.rebuild.tmp", "index/FLUSHES.tmp", "journal/reserve.tmp",
                             "journal/spare.tmp"}) {  // what a writer makes anew
      Act("directory", name, [](const fs::path& path) { Instead(path, [&] { fs::create_directory(path); }); });
      Act("new-fifo", name, [](const fs::path& path) { Instead(path, [&] { ::mkfifo(path.c_str(), 0600); }); });
      variants_.back().harmless = variants_[variants_.size() - 2].harmless = "made again by whoever writes";
    }
    for (const char* name : {"index.rebuild", "index.broken"}) {
      Act("directory", name, [](const fs::path& path) { fs::create_directory(path); }).floor = corpus_.last;
      Act("new-fifo", name, [](const fs::path& path) { ::mkfifo(path.c_str(), 0600); }).floor = corpus_.last;
      variants_.back().harmless = variants_[variants_.size() - 2].harmless = "a sign to make the index again";
    }
  }

  void Newer() {
    Edit("newer", "FORMAT", "", [](std::string* c) { c->replace(c->find("version 1"), 9, "version 2"); });
    for (const SegmentLayout& layout : layouts_) {
      const auto header = [](size_t at, uint8_t value) {
        return [at, value](std::string* c) {
          (*c)[at] = static_cast<char>(value);
          const uint64_t sum = Hash64(AsBytes(*c).first(4088));
          std::memcpy(c->data() + 4088, &sum, 8);
        };
      };
      Edit("newer-version", layout.file, "", header(8, 2));
      Edit("newer-feature", layout.file, "", header(80, 4));
      for (size_t i = 0; i < layout.records.size(); i += std::max<size_t>(1, layout.records.size() / 4)) {
        NewerRecord(layout, layout.records[i]);
      }
    }
  }

  void NewerRecord(const SegmentLayout& layout, const Place& place) {
    const uint64_t salt = layout.header.salt;
    for (const auto& [what, field, value] : {std::tuple{"newer-record", 4, 2}, std::tuple{"newer-flag", 6, 0x82}}) {
      Edit(what, layout.file, Hex(place.offset),
           [salt, at = place.offset, field = field, value = value](std::string* c) {
             (*c)[at + static_cast<size_t>(field)] = static_cast<char>(value);
             const uint64_t sum = Hash64(AsBytes(*c).subspan(at, 72), salt);
             std::memcpy(c->data() + at + 72, &sum, 8);
           });
    }
  }

  const Corpus& corpus_;
  const std::vector<SegmentLayout> layouts_;
  std::vector<std::string> files_;
  std::vector<Variant> variants_;
};

}  // namespace

std::vector<Variant> AllVariants(const Corpus& corpus) { return Maker(corpus).Run(); }

}  // namespace dkfs::damage
