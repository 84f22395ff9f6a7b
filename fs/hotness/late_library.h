// A shared library that is loaded when it is first needed: with all it needs in turn it would be most of the time that
// starting the program takes, and hardly anybody asks for what it does.
#pragma once

#include <dlfcn.h>

#include <string>

#include "store/base/status.h"

namespace dkfs {

// Not thread-safe. What is loaded stays loaded.
class LateLibrary {
 public:
  explicit LateLibrary(const char* soname) : library_(::dlopen(soname, RTLD_NOW | RTLD_LOCAL)) { Check(library_); }
  // Becomes a pointer to whatever function it is assigned to; null when it is not there.
  struct Symbol {
    void* address;
    template <class Function>
    operator Function*() const {
      return reinterpret_cast<Function*>(address);
    }
  };
  Symbol Find(const char* name) {
    void* const found = library_ == nullptr ? nullptr : ::dlsym(library_, name);
    Check(found);
    return {found};
  }
  // ENOPKG: the library, or a function that was looked for, is not there.
  const Status& status() const { return status_; }

 private:
  void Check(const void* found) {
    if (found != nullptr || !status_.ok()) return;
    const char* why = ::dlerror();
    status_ = Status::Error(ENOPKG, why == nullptr ? "loading a library" : why);
  }

  void* const library_;
  Status status_;
};

}  // namespace dkfs
