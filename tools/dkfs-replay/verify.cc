#include "store/verify/verify.h"

#include <iostream>

#include "tools/dkfs-replay/commands.h"
#include "tools/dkfs-replay/options.h"

namespace dkfs::tool {

int VerifyStore(const Arguments& arguments) {
  std::string store;
  VerifyOptions options;
  po::options_description described("Options");
  described.add_options()("store", po::value(&store)->required()->value_name("STORE"), "the store's directory")(
      "quick", po::bool_switch(&options.quick), "do not decode every version");
  po::variables_map values;
  if (!Parse(arguments, described, "", "dkfs-replay verify --store STORE [--quick]", &values)) return kOk;
  options.on_damage = Complain;
  VerifyResult result;
  Status status = Verify(store, options, &result);
  if (!status.ok()) return Fail(status);
  std::cout << result.segments << " segments, " << result.records << " records, " << result.versions << " versions, "
            << result.inodes
            << " inodes: " << (result.damages == 0 ? "no damage" : std::to_string(result.damages) + " damages") << "\n";
  return result.damages == 0 ? kOk : kDamaged;
}

}  // namespace dkfs::tool
