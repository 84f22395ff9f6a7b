// Changed ranges of an 8 KiB block: found, and put back.
#include "store/codec/codec.h"
#include "tests/bench/micro/micro.h"

namespace dkfs::bench {
namespace {

// Every so many bytes one differs; 0: none does.
std::string Changed(const std::string& before, size_t every) {
  std::string now = before;
  for (size_t i = 0; every != 0 && i < now.size(); i += every) now[i] ^= 0x55;
  return now;
}

void Diff(benchmark::State& state) {
  const std::string before = Block(kBlockBytes, 1);
  const std::string now = Changed(before, static_cast<size_t>(state.range(0)));
  std::string out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(codec::DiffRanges(AsBytes(before), AsBytes(now), kBlockBytes, &out));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBlockBytes));
}
BENCHMARK(Diff)->ArgName("every")->Arg(0)->Arg(4096)->Arg(256)->Arg(1);

void Patch(benchmark::State& state) {
  std::string block = Block(kBlockBytes, 1);
  std::string ranges;
  codec::DiffRanges(AsBytes(block), AsBytes(Changed(block, 256)), kBlockBytes, &ranges);
  for (auto _ : state) {
    Check(codec::PatchRanges(AsBytes(ranges), {reinterpret_cast<std::byte*>(block.data()), block.size()}));
  }
}
BENCHMARK(Patch);

void Compress(benchmark::State& state) {
  const std::string block = Block(static_cast<size_t>(state.range(0)), 1);
  std::string out;
  for (auto _ : state) {
    out.clear();
    Check(codec::Compress(AsBytes(block), 3, &out));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(Compress)->Arg(8 << 10)->Arg(256 << 10);

void CompressFast(benchmark::State& state) {
  const std::string block = Block(static_cast<size_t>(state.range(0)), 1);
  std::string out(block.size(), '\0');
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        codec::CompressFast(AsBytes(block), {reinterpret_cast<std::byte*>(out.data()), out.size()}));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CompressFast)->Arg(8 << 10)->Arg(256 << 10);

}  // namespace
}  // namespace dkfs::bench

BENCHMARK_MAIN();
