#include "tools/dkfs-replay/options.h"

#include <algorithm>
#include <iostream>

namespace dkfs::tool {

bool Parse(const Arguments& arguments, po::options_description options, const std::string& positional,
           const std::string& usage, po::variables_map* values) {
  options.add_options()("help,h", "print this and exit");
  po::options_description all(options);
  po::positional_options_description rest;
  if (!positional.empty()) {
    all.add_options()(positional.c_str(), po::value<std::vector<std::string>>());
    rest.add(positional.c_str(), -1);
  }
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(rest).run(), *values);
    if (values->count("help") != 0) {
      std::cout << "usage: " << usage << "\n\n" << options;
      return false;
    }
    po::notify(*values);
  } catch (const po::error& error) {
    throw UsageError{error.what()};
  }
  return true;
}

}  // namespace dkfs::tool
