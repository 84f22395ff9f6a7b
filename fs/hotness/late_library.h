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
  template <class Function>
  void Bind(Function** function, const char* name) {
    if (library_ == nullptr) return;
    *function = reinterpret_cast<Function*>(::dlsym(library_, name));
    Check(reinterpret_cast<void*>(*function));
  }
  // ENOPKG: the library, or a function that was bound, is not there.
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
