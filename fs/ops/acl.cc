#include "fs/ops/acl.h"

#include <cstdint>
#include <vector>

#include "store/base/bytes.h"

namespace dkfs {
namespace {

enum Tag : uint16_t { kUserObj = 1, kUser = 2, kGroupObj = 4, kGroup = 8, kMask = 16, kOther = 32 };
constexpr uint32_t kVersion = 2;

struct Entry {
  uint16_t tag = 0;
  uint16_t perm = 0;
  uint32_t id = 0;
};

bool Decode(std::string_view acl, std::vector<Entry>* out) {
  ByteReader reader(AsBytes(acl));
  if (reader.Le<uint32_t>() != kVersion || !reader.ok() || reader.remaining() % 8 != 0) return false;
  while (reader.remaining() > 0) {
    Entry e;
    e.tag = reader.Le<uint16_t>();
    e.perm = reader.Le<uint16_t>();
    e.id = reader.Le<uint32_t>();
    if (e.perm > 7) return false;
    out->push_back(e);
  }
  return true;
}

std::string Encode(const std::vector<Entry>& entries) {
  std::string acl;
  PutLe(&acl, kVersion);
  for (const Entry& e : entries) {
    PutLe(&acl, e.tag);
    PutLe(&acl, e.perm);
    PutLe(&acl, e.id);
  }
  return acl;
}

// The entry that the group bits of the mode stand for: the mask where there is one.
Entry* GroupClass(std::vector<Entry>* entries) {
  Entry* group = nullptr;
  for (Entry& e : *entries) {
    if (e.tag == kMask) return &e;
    if (e.tag == kGroupObj) group = &e;
  }
  return group;
}

Entry* Find(std::vector<Entry>* entries, uint16_t tag) {
  for (Entry& e : *entries) {
    if (e.tag == tag) return &e;
  }
  return nullptr;
}

}  // namespace

Status AclCheck(std::string_view acl) {
  std::vector<Entry> entries;
  if (!Decode(acl, &entries)) return Status::Error(EINVAL);
  int users = 0, groups = 0, others = 0, masks = 0, named = 0;
  for (const Entry& e : entries) {
    switch (e.tag) {
      case kUserObj:
        ++users;
        break;
      case kGroupObj:
        ++groups;
        break;
      case kOther:
        ++others;
        break;
      case kMask:
        ++masks;
        break;
      case kUser:
      case kGroup:
        ++named;
        break;
      default:
        return Status::Error(EINVAL);
    }
  }
  const bool complete = users == 1 && groups == 1 && others == 1 && masks <= 1 && (named == 0 || masks == 1);
  return complete ? Status::Ok() : Status::Error(EINVAL);
}

mode_t AclToMode(std::string_view acl, mode_t mode) {
  std::vector<Entry> entries;
  if (!Decode(acl, &entries)) return mode;
  const Entry* user = Find(&entries, kUserObj);
  const Entry* group = GroupClass(&entries);
  const Entry* other = Find(&entries, kOther);
  if (user == nullptr || group == nullptr || other == nullptr) return mode;
  return (mode & ~mode_t{0777}) | static_cast<mode_t>(user->perm << 6 | group->perm << 3 | other->perm);
}

bool AclIsTrivial(std::string_view acl) {
  std::vector<Entry> entries;
  return Decode(acl, &entries) && entries.size() == 3;
}

std::string AclAfterChmod(std::string_view acl, mode_t mode) {
  std::vector<Entry> entries;
  if (!Decode(acl, &entries)) return std::string(acl);
  if (Entry* e = Find(&entries, kUserObj)) e->perm = (mode >> 6) & 7;
  if (Entry* e = GroupClass(&entries)) e->perm = (mode >> 3) & 7;
  if (Entry* e = Find(&entries, kOther)) e->perm = mode & 7;
  return Encode(entries);
}

std::string AclInherit(std::string_view acl, mode_t* mode) {
  std::vector<Entry> entries;
  if (!Decode(acl, &entries)) return {};
  if (Entry* e = Find(&entries, kUserObj)) e->perm &= (*mode >> 6) & 7;
  if (Entry* e = GroupClass(&entries)) e->perm &= (*mode >> 3) & 7;
  if (Entry* e = Find(&entries, kOther)) e->perm &= *mode & 7;
  std::string access = Encode(entries);
  *mode = AclToMode(access, *mode);
  return access;
}

}  // namespace dkfs
