#include <zstd.h>

#include <memory>

#include "store/codec/codec.h"

namespace dkfs::codec {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

ZSTD_CCtx* Compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* Decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  return context.get();
}

constexpr int kLongWindowLog = 23;

Status CompressTo(Bytes in, int level, bool long_window, std::string* out) {
  ZSTD_CCtx* const context = Compressor();
  if (context == nullptr) return Status::Error(ENOMEM, "compress");
  ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  if (long_window) {
    ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, kLongWindowLog);
  }
  const size_t old_size = out->size();
  const size_t bound = ZSTD_compressBound(in.size());
  out->resize(old_size + bound);
  const size_t n = ZSTD_compress2(context, out->data() + old_size, bound, in.data(), in.size());
  out->resize(ZSTD_isError(n) ? old_size : old_size + n);
  if (ZSTD_isError(n)) return Status::Error(EIO, std::string("compress: ") + ZSTD_getErrorName(n));
  return Status::Ok();
}

}  // namespace

Status Compress(Bytes in, int level, std::string* out) { return CompressTo(in, level, false, out); }
Status CompressLong(Bytes in, int level, std::string* out) { return CompressTo(in, level, true, out); }

// One shot into `out`, which is its own window: zstd allocates nothing by what the frame says.
Status Decompress(Bytes in, MutableBytes out) {
  if (Decompressor() == nullptr) return Status::Error(ENOMEM, "decompress");
  if (ZSTD_getFrameContentSize(in.data(), in.size()) != out.size()) {
    return Status::Corruption("compressed data that is not of its stated size");
  }
  const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
  if (ZSTD_isError(frame) || frame != in.size()) return Status::Corruption("compressed data that is not one frame");
  const size_t n = ZSTD_decompressDCtx(Decompressor(), out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(n)) return Status::Corruption(std::string("compressed data: ") + ZSTD_getErrorName(n));
  return n == out.size() ? Status::Ok() : Status::Corruption("compressed data that is not of its stated size");
}

}  // namespace dkfs::codec
