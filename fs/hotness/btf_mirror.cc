#include "fs/hotness/btf_mirror.h"

#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>

#include <memory>
#include <mutex>

namespace dkfs {
namespace {

constexpr long kConnectSeconds = 5, kTotalSeconds = 120, kRedirects = 3;
constexpr int kMaxEntries = 64;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct ArchiveDeleter {
  void operator()(archive* a) const { archive_read_free(a); }
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
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
  if (code == CURLE_ABORTED_BY_CALLBACK) return Status::Error(ECANCELED, url);
  if (code == CURLE_FILESIZE_EXCEEDED || body.too_large) return Status::Error(EFBIG, url);
  if (code == CURLE_HTTP_RETURNED_ERROR && answer == 404) return Status::Error(ENOENT, url);
  return Status::Error(EIO, url + ": " + curl_easy_strerror(code));
}

}  // namespace

Result<std::string> Download(const std::string& url, const std::atomic<bool>& cancel) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  std::unique_ptr<CURL, CurlDeleter> curl(curl_easy_init());
  if (curl == nullptr) return Status::Error(ENOMEM, "starting curl");
  Body body;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, kRedirects);
  curl_easy_setopt(curl.get(), CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_QUICK_EXIT, 1L);  // cancelling waits for no name server
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, kTotalSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(kMaxBtfArchive));
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "dkfs");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFOFUNCTION, Poll);
  curl_easy_setopt(curl.get(), CURLOPT_XFERINFODATA, &cancel);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) return FailureOf(curl.get(), code, body, url);
  return std::move(body.bytes);
}

Result<std::string> UnpackTarXz(const std::string& archive_bytes, const std::string& name) {
  std::unique_ptr<archive, ArchiveDeleter> in(archive_read_new());
  if (in == nullptr) return Status::Error(ENOMEM, "unpacking");
  const auto broken = [&] {
    const char* text = archive_error_string(in.get());
    return Status::Error(EBADMSG, "unpacking " + name + ": " + (text == nullptr ? "cut" : text));
  };
  if (archive_read_support_filter_xz(in.get()) != ARCHIVE_OK ||
      archive_read_support_format_tar(in.get()) != ARCHIVE_OK ||
      archive_read_open_memory(in.get(), archive_bytes.data(), archive_bytes.size()) != ARCHIVE_OK) {
    return broken();
  }
  archive_entry* entry = nullptr;
  for (int i = 0; i < kMaxEntries; ++i) {
    const int next = archive_read_next_header(in.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next != ARCHIVE_OK) return broken();
    const char* raw = archive_entry_pathname(entry);
    const std::string path = raw == nullptr ? "" : raw;
    if (archive_entry_filetype(entry) != AE_IFREG || path.substr(path.rfind('/') + 1) != name) continue;
    std::string out;
    char part[64 << 10];
    for (la_ssize_t n = 1; n != 0;) {
      n = archive_read_data(in.get(), part, sizeof part);
      if (n < 0) return broken();
      if (out.size() + static_cast<size_t>(n) > kMaxBtfBytes) return Status::Error(EFBIG, "unpacking " + name);
      out.append(part, static_cast<size_t>(n));
    }
    return out;
  }
  return Status::Error(ENOENT, "the archive holds no " + name);
}

}  // namespace dkfs
