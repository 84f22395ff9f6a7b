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
  Curl() {
    if (library.status().ok()) global_init(CURL_GLOBAL_DEFAULT);
  }
  static const Curl& Get() {
    static const Curl curl;
    return curl;
  }

  LateLibrary library{"libcurl.so.4"};
  decltype(curl_global_init)* const global_init = library.Find("curl_global_init");
  decltype(curl_easy_init)* const easy_init = library.Find("curl_easy_init");
  decltype(curl_easy_setopt)* const easy_setopt = library.Find("curl_easy_setopt");
  decltype(curl_easy_perform)* const easy_perform = library.Find("curl_easy_perform");
  decltype(curl_easy_getinfo)* const easy_getinfo = library.Find("curl_easy_getinfo");
  decltype(curl_easy_strerror)* const easy_strerror = library.Find("curl_easy_strerror");
  decltype(curl_easy_cleanup)* const easy_cleanup = library.Find("curl_easy_cleanup");
};

struct Archive {
  static const Archive& Get() {
    static const Archive archive;
    return archive;
  }

  LateLibrary library{"libarchive.so.13"};
  decltype(archive_read_new)* const read_new = library.Find("archive_read_new");
  decltype(archive_read_support_filter_xz)* const read_support_filter_xz =
      library.Find("archive_read_support_filter_xz");
  decltype(archive_read_support_format_tar)* const read_support_format_tar =
      library.Find("archive_read_support_format_tar");
  decltype(archive_read_open_memory)* const read_open_memory = library.Find("archive_read_open_memory");
  decltype(archive_read_next_header)* const read_next_header = library.Find("archive_read_next_header");
  decltype(archive_read_data)* const read_data = library.Find("archive_read_data");
  decltype(archive_read_free)* const read_free = library.Find("archive_read_free");
  decltype(archive_error_string)* const error_string = library.Find("archive_error_string");
  decltype(archive_entry_pathname)* const entry_pathname = library.Find("archive_entry_pathname");
  decltype(archive_entry_filetype)* const entry_filetype = library.Find("archive_entry_filetype");
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
