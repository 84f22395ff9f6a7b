# The libraries dkfs stands on. `./dev deps` installs them; a newer libfuse is built privately into build/deps.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(RocksDB REQUIRED CONFIG)
find_package(zstd REQUIRED CONFIG)
pkg_check_modules(LZ4 REQUIRED IMPORTED_TARGET liblz4)
find_package(prometheus-cpp REQUIRED CONFIG)
find_package(nlohmann_json REQUIRED CONFIG)
find_package(Boost REQUIRED COMPONENTS program_options)
if(DKFS_BUILD_TESTS)
  find_package(GTest REQUIRED CONFIG)
  set(Python3_EXECUTABLE /usr/bin/python3)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()

# xxHash: the library chooses the widest vectors of the CPU at run time, where it was built so (x86).
find_library(XXHASH_LIBRARY xxhash REQUIRED)
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES ${XXHASH_LIBRARY})
check_cxx_source_compiles("#include <xxh_x86dispatch.h>
  int main() { return static_cast<int>(XXH3_64bits_withSeed(\"\", 0, 0)); }" DKFS_XXHASH_DISPATCH)
unset(CMAKE_REQUIRED_LIBRARIES)

find_library(RSYNC_LIBRARY rsync REQUIRED)
find_path(RSYNC_INCLUDE librsync.h REQUIRED)
add_library(dkfs_rsync INTERFACE)
target_link_libraries(dkfs_rsync INTERFACE ${RSYNC_LIBRARY})
target_include_directories(dkfs_rsync SYSTEM INTERFACE ${RSYNC_INCLUDE})

# libfuse: the private static build (Debian 12's 3.14 has no tmpfile handler) when it is there, else the system's.
set(DKFS_DEPS ${PROJECT_SOURCE_DIR}/build/deps CACHE PATH "prefix of privately built libraries")
set(ENV{PKG_CONFIG_PATH} "${DKFS_DEPS}/lib/pkgconfig:$ENV{PKG_CONFIG_PATH}")
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3>=3.17)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing>=2.3)

# Probes: libbpf loads them; clang and bpftool make them; curl and libarchive fetch a kernel's types when asked to.
pkg_check_modules(BPF REQUIRED IMPORTED_TARGET libbpf>=1.0)
find_program(BPF_CLANG NAMES clang clang-19 clang-16 clang-14 REQUIRED)
find_program(BPFTOOL bpftool REQUIRED)
find_package(CURL REQUIRED)
find_package(LibArchive REQUIRED)
