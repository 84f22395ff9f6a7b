// Every program goes through the kernel's verifier. A program that this kernel refuses for another reason (no right, no
// such place to attach) is skipped, and said so; one that the verifier refuses fails.
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <hotness.skel.h>
#include <unistd.h>

#include <memory>
#include <string>

namespace dkfs {
namespace {

struct Deleter {
  void operator()(hotness_bpf* s) const { hotness_bpf__destroy(s); }
};

class VerifierTest : public testing::TestWithParam<const char*> {};

bool IsVerdict(const std::string& log) {
  return log.find("processed") != std::string::npos && log.find("invalid CO-RE relocation") == std::string::npos;
}

TEST_P(VerifierTest, TakesTheProgram) {
  if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) GTEST_SKIP() << "the kernel carries no types (BTF)";
  std::unique_ptr<hotness_bpf, Deleter> skeleton(hotness_bpf__open());
  ASSERT_NE(nullptr, skeleton);
  bpf_program* program = bpf_object__find_program_by_name(skeleton->obj, GetParam());
  ASSERT_NE(nullptr, program);
  std::string log(1 << 20, '\0');
  bpf_program__set_autoload(program, true);
  bpf_program__set_log_buf(program, log.data(), log.size());
  const int error = hotness_bpf__load(skeleton.get());
  log.resize(log.find('\0') == std::string::npos ? log.size() : log.find('\0'));
  if (error == 0) return;
  ASSERT_FALSE(IsVerdict(log)) << log;
  GTEST_SKIP() << GetParam() << " cannot be tried here: errno " << -error;
}

INSTANTIATE_TEST_SUITE_P(All, VerifierTest,
                         testing::Values("request_tp", "request_raw", "request_fentry", "write_tp", "write_raw",
                                         "write_fentry", "write_fexit", "dirty_tp", "dirty_raw", "dirty_page_raw"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(VerifierTest, NoProgramIsForgottenAbove) {
  std::unique_ptr<hotness_bpf, Deleter> skeleton(hotness_bpf__open());
  ASSERT_NE(nullptr, skeleton);
  int programs = 0;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    ++programs;
    EXPECT_FALSE(bpf_program__autoload(program)) << bpf_program__name(program) << ": tried one by one, never all";
  }
  EXPECT_EQ(10, programs);
}

}  // namespace
}  // namespace dkfs
