// The three standard descriptors, and what is printed. Whoever starts a program may have closed them; then the first
// files that it opens get their numbers, and what is meant for the terminal goes into them.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

namespace dkfs {

// Those that are closed lead to /dev/null from now on. To be called before anything else is opened.
inline void FillStandardFds() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != fd) return;  // no /dev: nothing helps
  }
}

// Whether all that was printed is written. To be asked last; false with errno.
inline bool FlushStandardOutput() { return std::cout.flush() && std::ferror(stdout) == 0; }

}  // namespace dkfs
