#include "fs/hotness/btf_mirror.h"

#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>

#include <memory>

#include "fs/hotness/late_library.h"

namespace dkfs {
namespace {

constexpr long kConnectSeconds = 5, kTotalSeconds = 120, kRedirects = 3;
constexpr int kMaxEntries = 64;

// The functions used, by their names without the prefix.
struct Curl {
  Curl() : library("libcurl.so.4") {
    library.Bind(&global_init, "curl_global_init");
    library.Bind(&easy_init, "curl_easy_init");
    library.Bind(&easy_setopt, "curl_easy_setopt");
    library.Bind(&easy_perform, "curl_easy_perform");
    library.Bind(&easy_getinfo, "curl_easy_getinfo");
    library.Bind(&easy_strerror, "curl_easy_strerror");
    library.Bind(&easy_cleanup, "curl_easy_cleanup");
    if (library.status().ok()) global_init(CURL_GLOBAL_DEFAULT);
  }
  static const Curl& Get() {
    static const Curl curl;
    return curl;
  }

  LateLibrary library;
  decltype(curl_global_init)* global_init = nullptr;
  decltype(curl_easy_init)* easy_init = nullptr;
  decltype(curl_easy_setopt)* easy_setopt = nullptr;
  decltype(curl_easy_perform)* easy_perform = nullptr;
  decltype(curl_easy_getinfo)* easy_getinfo = nullptr;
  decltype(curl_easy_strerror)* easy_strerror = nullptr;
  decltype(curl_easy_cleanup)* easy_cleanup = nullptr;
};

struct Archive {
  Archive() : library("libarchive.so.13") {
    library.Bind(&read_new, "archive_read_new");
    library.Bind(&read_support_filter_xz, "archive_read_support_filter_xz");
    library.Bind(&read_support_format_tar, "archive_read_support_format_tar");
    library.Bind(&read_open_memory, "archive_read_open_memory");
    library.Bind(&read_next_header, "archive_read_next_header");
    library.Bind(&read_data, "archive_read_data");
    library.Bind(&read_free, "archive_read_free");
    library.Bind(&error_string, "archive_error_string");
    library.Bind(&entry_pathname, "archive_entry_pathname");
    library.Bind(&entry_filetype, "archive_entry_filetype");
  }
  static const Archive& Get() {
    static const Archive archive;
    return archive;
  }

  LateLibrary library;
  decltype(archive_read_new)* read_new = nullptr;
  decltype(archive_read_support_filter_xz)* read_support_filter_xz = nullptr;
  decltype(archive_read_support_format_tar)* read_support_format_tar = nullptr;
  decltype(archive_read_open_memory)* read_open_memory = nullptr;
  decltype(archive_read_next_header)* read_next_header = nullptr;
  decltype(archive_read_data)* read_data = nullptr;
  decltype(archive_read_free)* read_free = nullptr;
  decltype(archive_error_string)* error_string = nullptr;
  decltype(archive_entry_pathname)* entry_pathname = nullptr;
  decltype(archive_entry_filetype)* entry_filetype = nullptr;
};

struct CurlDeleter {
  void operator()(CURL* curl) const { Curl::Get().easy_cleanup(curl); }
};
struct ArchiveDeleter {
  void operator()(archive* a) const { Archive::Get().read_free(a); }
};

struct Body {
  std::string bytes;
  bool too_large = false;
};

size_t Append(char* data, size_t size, size_t count, void* user) {
  auto* body = static_cast<Body*>(user);
  const size_t n = size * count;
  body->too_large = body->bytes.size() + n > kMaxBtfArchive;
  if (body->too_large) return 0;  // ends the transfer
  body->bytes.append(data, n);
  return n;
}

int Poll(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(user)->load() ? 1 : 0;
}

Status FailureOf(CURL* curl, CURLcode code, const Body& body, const std::string& url) {
  long answer = 0;
  Curl::Get().easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
  if (code == CURLE_ABORTED_BY_CALLBACK) return Status::Error(ECANCELED, url);
  if (code == CURLE_FILESIZE_EXCEEDED || body.too_large) return Status::Error(EFBIG, url);
  if (code == CURLE_HTTP_RETURNED_ERROR && answer == 404) return Status::Error(ENOENT, url);
  return Status::Error(EIO, url + ": " + Curl::Get().easy_strerror(code));
}

}  // namespace

Result<std::string> Download(const std::string& url, const std::atomic<bool>& cancel) {
  const Curl& lib = Curl::Get();
  DKFS_TRY(lib.library.status());
  std::unique_ptr<CURL, CurlDeleter> curl(lib.easy_init());
  if (curl == nullptr) return Status::Error(ENOMEM, "starting curl");
  Body body;
  lib.easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  lib.easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  lib.easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  lib.easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  lib.easy_setopt(curl.get(), CURLOPT_MAXREDIRS, kRedirects);
  lib.easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  lib.easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  lib.easy_setopt(curl.get(), CURLOPT_QUICK_EXIT, 1L);  // cancelling waits for no name server
  lib.easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  lib.easy_setopt(curl.get(), CURLOPT_TIMEOUT, kTotalSeconds);
  lib.easy_setopt(curl.get(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(kMaxBtfArchive));
  lib.easy_setopt(curl.get(), CURLOPT_USERAGENT, "dkfs");
  lib.easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, Append);
  lib.easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  lib.easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  lib.easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, Poll);
  lib.easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &cancel);
  const CURLcode code = lib.easy_perform(curl.get());
  if (code != CURLE_OK) return FailureOf(curl.get(), code, body, url);
  return std::move(body.bytes);
}

Result<std::string> UnpackTarXz(const std::string& archive_bytes, const std::string& name) {
  const Archive& lib = Archive::Get();
  DKFS_TRY(lib.library.status());
  std::unique_ptr<archive, ArchiveDeleter> in(lib.read_new());
  if (in == nullptr) return Status::Error(ENOMEM, "unpacking");
  const auto broken = [&] {
    const char* text = lib.error_string(in.get());
    return Status::Error(EBADMSG, "unpacking " + name + ": " + (text == nullptr ? "cut" : text));
  };
  if (lib.read_support_filter_xz(in.get()) != ARCHIVE_OK || lib.read_support_format_tar(in.get()) != ARCHIVE_OK ||
      lib.read_open_memory(in.get(), archive_bytes.data(), archive_bytes.size()) != ARCHIVE_OK) {
    return broken();
  }
  archive_entry* entry = nullptr;
  for (int i = 0; i < kMaxEntries; ++i) {
    const int next = lib.read_next_header(in.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next != ARCHIVE_OK) return broken();
    const char* raw = lib.entry_pathname(entry);
    const std::string path = raw == nullptr ? "" : raw;
    if (lib.entry_filetype(entry) != AE_IFREG || path.substr(path.rfind('/') + 1) != name) continue;
    std::string out;
    char part[64 << 10];
    for (la_ssize_t n = 1; n != 0;) {
      n = lib.read_data(in.get(), part, sizeof part);
      if (n < 0) return broken();
      if (out.size() + static_cast<size_t>(n) > kMaxBtfBytes) return Status::Error(EFBIG, "unpacking " + name);
      out.append(part, static_cast<size_t>(n));
    }
    return out;
  }
  return Status::Error(ENOENT, "the archive holds no " + name);
}

}  // namespace dkfs
