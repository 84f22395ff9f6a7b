#include <iostream>

#include "store/store.h"
#include "tools/dkfs-replay/commands.h"
#include "tools/dkfs-replay/options.h"

namespace dkfs::tool {

int Reindex(const Arguments& arguments) {
  std::string path;
  po::options_description described("Options");
  described.add_options()("store", po::value(&path)->required()->value_name("STORE"), "the store's directory");
  po::variables_map values;
  if (!Parse(arguments, described, "", "dkfs-replay reindex --store STORE", &values)) return kOk;
  StoreOptions options;
  options.create = false;
  options.background = false;
  options.rebuild_index = true;
  Result<std::unique_ptr<Store>> store = Store::Open(path, options);
  if (!store.ok()) return Fail(store.status());
  Status closed = (*store)->Close();
  if (!closed.ok()) return Fail(closed);
  std::cout << "index of " << path << " made again, up to seq " << (*store)->GetStatus().appended.value << "\n";
  return kOk;
}

}  // namespace dkfs::tool
