#include "store/base/log.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "store/base/unique_fd.h"

namespace dkfs {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class LogTest : public testing::Test {
 protected:
  LogTest() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    read_.reset(ends[0]);
    write_.reset(ends[1]);
    SetLogFd(write_.get());
  }
  ~LogTest() override {
    SetLogFd(2);
    SetLogLevel(LogLevel::kInfo);
  }
  // Everything logged until now; ends the log.
  std::string Logged() {
    SetLogFd(-1);
    write_.reset();
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(read_.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    return text;
  }

 private:
  UniqueFd read_, write_;
};

TEST_F(LogTest, LineIsTimeLevelEventAndFields) {
  Log(LogLevel::kInfo, "mount_ready", {{"dir", "/data"}, {"ms", 17}});
  EXPECT_THAT(Logged(), testing::MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                                              "level=info event=mount_ready dir=/data ms=17\n"));
}

TEST_F(LogTest, ValuesThatCouldBeMisreadAreQuoted) {
  Log(LogLevel::kInfo, "e",
      {{"a", "x y"}, {"b", ""}, {"c", "q\"\\"}, {"d", "k=v"}, {"f", "l1\nl2\x01\x7f"}, {"g", "grün"}});
  EXPECT_THAT(Logged(), EndsWith(R"(a="x y" b="" c="q\"\\" d="k=v" f="l1\nl2\x01\x7f" g=grün)"
                                 "\n"));
}

TEST_F(LogTest, LinesBelowTheLevelAreDropped) {
  Log(LogLevel::kDebug, "hidden", {});
  SetLogLevel(LogLevel::kDebug);
  Log(LogLevel::kDebug, "shown", {});
  const std::string text = Logged();
  EXPECT_THAT(text, testing::Not(HasSubstr("hidden")));
  EXPECT_THAT(text, HasSubstr("level=debug event=shown"));
}

TEST_F(LogTest, LastErrorIsTheLastWarnOrError) {
  Log(LogLevel::kError, "journal_failed", {{"error", "x"}});
  Log(LogLevel::kInfo, "later", {});
  EXPECT_THAT(LastError(), EndsWith("level=error event=journal_failed error=x"));
  Log(LogLevel::kWarn, "metrics_off", {});
  EXPECT_THAT(LastError(), EndsWith("level=warn event=metrics_off"));
}

TEST_F(LogTest, ErrnoIsKept) {
  errno = E2BIG;
  Log(LogLevel::kWarn, "x", {});
  EXPECT_EQ(errno, E2BIG);
}

TEST_F(LogTest, LinesOfThreadsDoNotMix) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 50; ++i) Log(LogLevel::kInfo, "e", {{"thread", t}, {"end", "yes"}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = Logged();
  size_t lines = 0;
  for (size_t at = 0; at < text.size(); ++lines) {
    const size_t end = text.find('\n', at);
    ASSERT_THAT(text.substr(at, end - at),
                testing::MatchesRegex("....-..-..T..:..:......Z level=info event=e thread=. end=yes"));
    at = end + 1;
  }
  EXPECT_EQ(lines, 200u);
}

}  // namespace
}  // namespace dkfs
