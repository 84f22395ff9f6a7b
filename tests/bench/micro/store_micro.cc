// Append, barrier, index, pack and reconstruct, each through the store's own door.
#include "store/store_parts.h"
#include "tests/bench/micro/micro.h"

namespace dkfs::bench {
namespace {

constexpr uint64_t kBlocks = 4096;  // of the file that is written over and over

// One 8 KiB baseline into the journal; the index is brought up to date outside the measured time.
void Append(benchmark::State& state) {
  Scene scene;
  const std::string block = Block(kBlockBytes, 1);
  uint64_t i = 0;
  for (auto _ : state) {
    scene.PutBaseline(i++ % kBlocks, block);
    if (i % 512 == 0) {
      state.PauseTiming();
      Check(scene.store().parts()->index->ApplyAll());
      state.ResumeTiming();
    }
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBlockBytes));
}
BENCHMARK(Append)->MinTime(1);

// One 8 KiB append and its sync, alone: what one client that syncs each write waits for.
void AppendAndBarrier(benchmark::State& state) {
  Scene scene(true);
  const std::string block = Block(kBlockBytes, 1);
  uint64_t i = 0;
  for (auto _ : state) Check(scene.store().Sync(scene.PutBaseline(i++ % kBlocks, block)));
}
BENCHMARK(AppendAndBarrier)->UseRealTime()->MinTime(1);

// A barrier for what is synced already.
void BarrierSynced(benchmark::State& state) {
  Scene scene;
  const Seq seq = scene.PutBaseline(0, Block(kBlockBytes, 1));
  Check(scene.store().Sync(seq));
  for (auto _ : state) scene.store().Barrier(seq, [](Status status) { Check(status); });
}
BENCHMARK(BarrierSynced);

// The index rows of 1,000 block versions.
void Index(benchmark::State& state) {
  Scene scene;
  const std::string before = Block(kBlockBytes, 1);
  std::string now = before;
  now[100] ^= 1;
  const Seq base = scene.PutBaseline(0, before);
  for (auto _ : state) {
    state.PauseTiming();
    for (uint64_t i = 0; i < 1000; ++i) scene.PutDelta(i * 2741 % kBlocks, before, now, base, 1);
    state.ResumeTiming();
    Check(scene.store().parts()->index->ApplyAll());
  }
  state.SetItemsProcessed(state.iterations() * 1000);
}
BENCHMARK(Index)->Unit(benchmark::kMicrosecond);

// Packing what a journal segment of 8 KiB baselines holds.
void Pack(benchmark::State& state) {
  int64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    Scene scene;
    for (uint64_t i = 0; i < kBlocks * 4; ++i) {
      scene.PutBaseline(i, Block(kBlockBytes, i));
      if (i % 512 == 0) Check(scene.store().parts()->index->ApplyAll());
    }
    Check(scene.store().Sync());
    Check(scene.store().FlushIndex());
    const uint64_t before = scene.store().GetStatus().packed_segments;
    state.ResumeTiming();
    while (Take(scene.store().Maintain())) continue;
    state.PauseTiming();
    const uint64_t packed = scene.store().GetStatus().packed_segments - before;
    if (packed == 0) state.SkipWithError("nothing was packed");
    bytes += static_cast<int64_t>(kBlocks * 4 * kBlockBytes);
    state.ResumeTiming();
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(Pack)->Iterations(3)->Unit(benchmark::kMillisecond)->UseRealTime();

// Reading a block whose newest version is a chain of so many deltas.
void Reconstruct(benchmark::State& state) {
  Scene scene;
  std::string before = Block(kBlockBytes, 1);
  Seq seq = scene.PutBaseline(7, before);
  for (int64_t depth = 1; depth <= state.range(0); ++depth) {
    std::string now = before;
    for (size_t i = 0; i < 300; ++i) now[(static_cast<size_t>(depth) * 311 + i) % now.size()] ^= 0x55;
    seq = scene.PutDelta(7, before, now, seq, static_cast<uint8_t>(depth));
    before = now;
  }
  Check(scene.store().Sync(seq));
  std::string out(kBlockBytes, 0);
  const MutableBytes into{reinterpret_cast<std::byte*>(out.data()), out.size()};
  for (auto _ : state) Check(scene.store().ReadBlock(scene.file(), scene.state(), 7, kLatest, into));
  if (out != before) state.SkipWithError("wrong bytes");
}
BENCHMARK(Reconstruct)->Arg(0)->Arg(1)->Arg(8)->Arg(64);

}  // namespace
}  // namespace dkfs::bench
