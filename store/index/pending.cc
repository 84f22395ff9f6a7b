#include "store/index/pending.h"

#include "store/base/hash.h"

namespace dkfs {
namespace {

constexpr uint64_t kInodeSeed = 1, kXattrSeed = 2, kNameSeed = 3;

uint64_t KeyOf(FileId file, uint64_t seed) {
  return Hash64(AsBytes({reinterpret_cast<const char*>(&file.value), 8}), seed);
}

}  // namespace

uint64_t Pending::InodeKey(FileId file) { return KeyOf(file, kInodeSeed); }
uint64_t Pending::XattrKey(FileId file) { return KeyOf(file, kXattrSeed); }
uint64_t Pending::NameKey(FileId parent, std::string_view name) {
  return Hash64(AsBytes(name), KeyOf(parent, kNameSeed));
}

void Pending::Count(const std::vector<Item>& items, bool pack, int by) {
  if (pack) {
    any_.fetch_add(by, std::memory_order_release);
    return;
  }
  for (const Item& item : items) {
    if (const auto* inode = std::get_if<InodeItem>(&item.body)) {
      slots_[InodeKey(inode->file) % kSlots].fetch_add(by, std::memory_order_release);
    } else if (const auto* name = std::get_if<NameItem>(&item.body)) {
      slots_[NameKey(name->parent, name->name) % kSlots].fetch_add(by, std::memory_order_release);
    } else if (const auto* xattr = std::get_if<XattrItem>(&item.body)) {
      slots_[XattrKey(xattr->file) % kSlots].fetch_add(by, std::memory_order_release);
    } else if (std::holds_alternative<VoidItem>(item.body)) {
      any_.fetch_add(by, std::memory_order_release);
    }
  }
}

}  // namespace dkfs
