// librsync through its job interface: memory to memory, the whole input given at once.
#include <librsync.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "store/codec/codec.h"

namespace dkfs::codec {
namespace {

struct FreeJob {
  void operator()(rs_job_t* job) const { rs_job_free(job); }
};
using Job = std::unique_ptr<rs_job_t, FreeJob>;

struct FreeSignature {
  void operator()(rs_signature_t* signature) const { rs_free_sumset(signature); }
};
using Signature = std::unique_ptr<rs_signature_t, FreeSignature>;

constexpr size_t kOutputStep = 64 << 10;
constexpr size_t kMinBlock = 64;
constexpr size_t kMaxBlock = 1024;

// librsync reports damaged input to stderr; our callers report it, naming the file.
void SilenceOnce() {
  static std::once_flag once;
  std::call_once(once, [] { rs_trace_to(nullptr); });
}

rs_buffers_t Feed(Bytes in) {
  rs_buffers_t buffers{};
  // librsync does not write through next_in; its interface predates const.
  buffers.next_in = const_cast<char*>(reinterpret_cast<const char*>(in.data()));
  buffers.avail_in = in.size();
  buffers.eof_in = 1;
  return buffers;
}

// Runs an encoding job over all of `in`, appending what it makes.
Status RunToString(rs_job_t* job, Bytes in, std::string* out) {
  if (job == nullptr) return Status::Error(ENOMEM, "librsync");
  rs_buffers_t buffers = Feed(in);
  rs_result result = RS_BLOCKED;
  while (result == RS_BLOCKED) {
    const size_t size = out->size();
    out->resize(size + kOutputStep);
    buffers.next_out = out->data() + size;
    buffers.avail_out = kOutputStep;
    result = rs_job_iter(job, &buffers);
    out->resize(size + kOutputStep - buffers.avail_out);
  }
  return result == RS_DONE ? Status::Ok() : Status::Error(EIO, std::string("librsync: ") + rs_strerror(result));
}

// About the square root of the region, so that signature and lost matches balance.
size_t BlockLength(size_t bytes) {
  size_t length = kMinBlock;
  while (length < kMaxBlock && length * length < bytes) length *= 2;
  return length;
}

// The signature stays in memory, so its strong sums are kept whole: a match is never a collision.
Status Sign(Bytes base, Signature* out) {
  std::string text;
  const Job sign(rs_sig_begin(BlockLength(base.size()), 0, RS_RK_BLAKE2_SIG_MAGIC));
  DKFS_TRY(RunToString(sign.get(), base, &text));
  rs_signature_t* signature = nullptr;
  const Job load(rs_loadsig_begin(&signature));
  std::string nothing;
  const Status loaded = RunToString(load.get(), AsBytes(text), &nothing);
  out->reset(signature);
  DKFS_TRY(loaded);
  const rs_result built = rs_build_hash_table(signature);
  return built == RS_DONE ? Status::Ok() : Status::Error(ENOMEM, "librsync: hash table");
}

// Gives the patch job a stretch of the base; a stretch outside of it ends the job.
rs_result CopyFromBase(void* opaque, rs_long_t pos, size_t* length, void** buffer) {
  const Bytes base = *static_cast<const Bytes*>(opaque);
  if (pos < 0 || static_cast<uint64_t>(pos) >= base.size()) return RS_CORRUPT;
  *length = std::min(*length, base.size() - static_cast<size_t>(pos));
  *buffer = const_cast<std::byte*>(base.data()) + pos;  // read only by librsync
  return RS_DONE;
}

}  // namespace

Status RsyncDelta(Bytes base, Bytes now, std::string* out) {
  SilenceOnce();
  Signature signature;  // none for an empty base: the delta is then all literal
  if (!base.empty()) DKFS_TRY(Sign(base, &signature));
  const size_t old_size = out->size();
  const Job job(rs_delta_begin(signature.get()));
  Status status = RunToString(job.get(), now, out);
  if (!status.ok()) out->resize(old_size);
  return status;
}

Status RsyncPatch(Bytes base, Bytes delta, MutableBytes out) {
  SilenceOnce();
  const Job job(rs_patch_begin(CopyFromBase, &base));
  if (!job) return Status::Error(ENOMEM, "librsync");
  rs_buffers_t buffers = Feed(delta);
  std::byte spare;  // librsync wants room even when nothing is to come
  buffers.next_out = reinterpret_cast<char*>(out.empty() ? &spare : out.data());
  buffers.avail_out = std::max<size_t>(out.size(), 1);
  const rs_result result = rs_job_iter(job.get(), &buffers);
  const size_t made = std::max<size_t>(out.size(), 1) - buffers.avail_out;
  if (result == RS_DONE && made == out.size() && buffers.avail_in == 0) return Status::Ok();
  return Status::Corruption("rsync delta that does not make its region");
}

}  // namespace dkfs::codec
