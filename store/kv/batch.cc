#include "store/kv/options.h"
#include "store/kv/rep.h"

namespace dkfs {
namespace {

// Stands for a family in a batch that is filled without a database: batches hold only the family's number, and Open
// checks that numbers follow the order of Family.
class FamilyNumber : public rocksdb::ColumnFamilyHandle {
 public:
  explicit FamilyNumber(uint32_t id) : id_(id), name_(FamilyName(static_cast<Family>(id))) {}
  const std::string& GetName() const override { return name_; }
  uint32_t GetID() const override { return id_; }
  rocksdb::Status GetDescriptor(rocksdb::ColumnFamilyDescriptor*) override { return rocksdb::Status::NotSupported(); }
  const rocksdb::Comparator* GetComparator() const override { return rocksdb::BytewiseComparator(); }

 private:
  uint32_t id_;
  std::string name_;
};

rocksdb::ColumnFamilyHandle* NumberOf(Family family) {
  static std::vector<FamilyNumber>* numbers = [] {  // never destroyed: batches may outlive main
    auto* made = new std::vector<FamilyNumber>;
    for (uint32_t i = 0; i < kFamilies; ++i) made->emplace_back(i);
    return made;
  }();
  return &(*numbers)[static_cast<size_t>(family)];
}

// A batch can refuse an entry only for its size (4 GiB) or for timestamps; neither is possible here.
void Accept(const rocksdb::Status& status) { DKFS_CHECK(status.ok()); }

}  // namespace

KvBatch::KvBatch() : rep_(std::make_unique<Rep>()) {}
KvBatch::~KvBatch() = default;
KvBatch::KvBatch(KvBatch&&) noexcept = default;
KvBatch& KvBatch::operator=(KvBatch&&) noexcept = default;
void KvBatch::Put(Family family, std::string_view key, std::string_view value) {
  Accept(rep_->batch.Put(NumberOf(family), ToSlice(key), ToSlice(value)));
}
void KvBatch::Delete(Family family, std::string_view key) {
  Accept(rep_->batch.Delete(NumberOf(family), ToSlice(key)));
}
void KvBatch::DeleteRange(Family family, std::string_view begin, std::string_view end) {
  Accept(rep_->batch.DeleteRange(NumberOf(family), ToSlice(begin), ToSlice(end)));
}
void KvBatch::Clear() { rep_->batch.Clear(); }
size_t KvBatch::count() const { return rep_->batch.Count(); }
size_t KvBatch::bytes() const { return rep_->batch.GetDataSize(); }

}  // namespace dkfs
