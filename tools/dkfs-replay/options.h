// Command lines of the subcommands, by Boost.Program_options.
#pragma once

#include <boost/program_options.hpp>
#include <string>

#include "tools/dkfs-replay/commands.h"

namespace dkfs::tool {

namespace po = boost::program_options;

// Parses `arguments`; UsageError for what is unknown or missing. `positional` names the option that takes the rest, or
// "". Prints `usage` and the options and answers false when --help is among them.
bool Parse(const Arguments& arguments, po::options_description options, const std::string& positional,
           const std::string& usage, po::variables_map* values);

}  // namespace dkfs::tool
