#include <gtest/gtest.h>

#include "fs/daemon/options.h"

namespace dkfs {
namespace {

using Args = std::vector<std::string>;

Args Normal(const Args& args) { return NormalCommandLine("/usr/bin/dkfs", "/store", "/data", args); }

TEST(CommandLineTest, BinaryAndStoreComeFirst) {
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "/data"}), Normal({"data"}));
}

TEST(CommandLineTest, GivenStoreIsReplacedWhereverItStood) {
  Args wanted{"/usr/bin/dkfs", "--store", "/store", "-f", "/data"};
  EXPECT_EQ(wanted, Normal({"--store", "rel", "-f", "data"}));
  EXPECT_EQ(wanted, Normal({"-f", "data", "--store=rel"}));
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "-o", "ro,order=fsync", "/data"}),
            Normal({"-o", "store=rel,ro,order=fsync", "data"}));
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "/data"}), Normal({"-ostore=rel", "data"}));
}

TEST(CommandLineTest, ValuesAreNotTakenForTheDirectory) {
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "--retain", "7d", "--metrics-addr", "off", "/data"}),
            Normal({"--retain", "7d", "--metrics-addr", "off", "data"}));
  for (const char* name :
       {"--order", "--hydrate-order", "--hydrate-rate", "--io-uring", "--profiler-dwell", "--options"}) {
    const Args line = Normal({name, "value", "data"});
    EXPECT_EQ("/data", line.back()) << name;
    EXPECT_EQ("value", line[line.size() - 2]) << name;
  }
}

TEST(CommandLineTest, ClustersAreTakenApart) {
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "-f", "-d", "-o", "ro", "/data"}),
            Normal({"-fdo", "ro", "data"}));
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "-f", "-o", "ro", "/data"}), Normal({"-foro", "data"}));
}

TEST(CommandLineTest, CommandIsLeftAlone) {
  EXPECT_EQ((Args{"/usr/bin/dkfs", "--store", "/store", "/data", "--", "sh", "--store", "x", "-fd"}),
            Normal({"data", "--", "sh", "--store", "x", "-fd"}));
}

TEST(CommandLineTest, NormalisingTwiceChangesNothing) {
  Args once = Normal({"-fd", "-o", "store=x,ro", "--order=fsync", "data", "--", "cmd"});
  EXPECT_EQ(once, Normal(Args(once.begin() + 1, once.end())));
}

}  // namespace
}  // namespace dkfs
