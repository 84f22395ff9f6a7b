#include "store/retain/retainer.h"

#include <atomic>

#include "store/retain/impl.h"

namespace dkfs {

Retainer::Retainer(std::string journal_path, Uuid store, Index* index, Journal* journal, SegmentReader* reader,
                   Reconstructor* reconstructor, const RetainOptions& options)
    : impl_(std::make_unique<Impl>(std::move(journal_path), store, index, journal, reader, reconstructor, options)) {}
Retainer::~Retainer() = default;
Status Retainer::Load() { return impl_->Load(); }
void Retainer::Tick() { impl_->Tick(); }
Result<bool> Retainer::Step() { return impl_->Step(); }
void Retainer::Stop() { impl_->Stop(); }
bool Retainer::Behind() const { return impl_->Behind(); }
void Retainer::SetLimits(std::chrono::seconds retain, uint64_t budget_bytes) { impl_->SetLimits(retain, budget_bytes); }
RetainStats Retainer::stats() const { return impl_->stats(); }

}  // namespace dkfs
