# How every target of dkfs is built: one library a leaf folder, one executable a tool, one test program a tests folder.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

option(DKFS_BUILD_TESTS "build the tests" ON)
option(DKFS_PRECOMPILE "precompile common headers: quicker, and blind for an include that is missing" OFF)
set(DKFS_SANITIZE "" CACHE STRING "sanitizers for -fsanitize=, e.g. address,undefined or thread")

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(dkfs_flags INTERFACE)
target_include_directories(dkfs_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(dkfs_flags INTERFACE _FILE_OFFSET_BITS=64 _GNU_SOURCE)
target_compile_options(dkfs_flags INTERFACE -pthread -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # g++ 12 sees uninitialised members in every optimised copy of a std::variant (GCC bug 105562 and its kin).
  target_compile_options(dkfs_flags INTERFACE -Wno-maybe-uninitialized)
endif()
# What these say depends on how far the compiler inlines: errors with Debian 12's g++ and no precompiled headers alone.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND (DKFS_PRECOMPILE OR CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13))
  foreach(warning maybe-uninitialized array-bounds stringop-overflow stringop-overread free-nonheap-object
      dangling-pointer restrict)
    target_compile_options(dkfs_flags INTERFACE -Wno-error=${warning})
  endforeach()
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(dkfs_flags INTERFACE -Wthread-safety -Wthread-safety-beta)
endif()
if(DKFS_SANITIZE)
  target_compile_options(dkfs_flags INTERFACE -fsanitize=${DKFS_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(dkfs_flags INTERFACE -fsanitize=${DKFS_SANITIZE})
endif()

# One precompiled header for the libraries and programs, one for the tests; targets reuse it.
function(dkfs_precompile name base)
  cmake_parse_arguments(arg "" "" "HEADERS;LINK" ${ARGN})
  if(NOT DKFS_PRECOMPILE)
    return()
  endif()
  target_compile_options(${name} PRIVATE -fpch-preprocess)  # lets ccache look through it
  if(NOT TARGET ${base})
    file(WRITE ${PROJECT_BINARY_DIR}/${base}.cc "")
    add_library(${base} OBJECT ${PROJECT_BINARY_DIR}/${base}.cc)
    target_link_libraries(${base} PRIVATE dkfs_flags ${arg_LINK})
    target_precompile_headers(${base} PRIVATE <algorithm> <chrono> <filesystem> <functional> <map> <memory> <optional>
      <string> <thread> <variant> <vector> ${arg_HEADERS})
  endif()
  target_precompile_headers(${name} REUSE_FROM ${base})
endfunction()

# dkfs_library(NAME SOURCES a.cc ... PUBLIC targets... PRIVATE targets...)
# PUBLIC: what the folder's headers include. Links are the allowed include direction (see tools/dev/check_layers).
function(dkfs_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC dkfs_flags ${arg_PUBLIC} PRIVATE ${arg_PRIVATE})
  dkfs_precompile(${name} dkfs_headers)
endfunction()

function(dkfs_executable name)
  cmake_parse_arguments(arg "" "" "SOURCES;PRIVATE" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE dkfs_flags ${arg_PRIVATE})
  dkfs_precompile(${name} dkfs_headers)
endfunction()

# dkfs_test(NAME SOURCES x_test.cc ... PRIVATE targets...): a GoogleTest program, run by ctest under label unit.
function(dkfs_test name)
  cmake_parse_arguments(arg "" "LABEL" "SOURCES;PRIVATE" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE dkfs_flags ${arg_PRIVATE} GTest::gmock GTest::gtest_main)
  dkfs_precompile(${name} dkfs_test_headers HEADERS <gtest/gtest.h> LINK GTest::gmock)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT 600
    ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1 halt_on_error=1")
endfunction()
