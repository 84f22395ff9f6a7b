#include "store/base/printable.h"

namespace dkfs {

std::string Printable(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x20 || c == 0x7f) text[i] = '?';
    // U+0080 to U+009F in UTF-8
    if (c == 0xc2 && i + 1 < text.size() && (text[i + 1] & 0xe0) == 0x80) text.replace(i, 2, "?");
  }
  return text;
}

}  // namespace dkfs
