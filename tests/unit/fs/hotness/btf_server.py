#!/usr/bin/python3
"""A mirror of kernel types that is good or bad in known ways: btf_server.py BTF RELEASE. Prints its port.

Below /KIND/ lies what BTFHub's archive would hold; KIND is one of the functions named in KINDS. Ends when its standard
input does.
"""
import http.server
import io
import lzma
import sys
import tarfile
import threading


def tar_xz(members, preset=0):
    """members: name -> bytes, or a number of zeros."""
    out = io.BytesIO()
    with lzma.open(out, "wb", preset=preset) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = content if isinstance(content, int) else len(content)
            tar.addfile(info, Zeros(content) if isinstance(content, int) else io.BytesIO(content))
    return out.getvalue()


class Zeros:
    def __init__(self, size):
        self.left = size

    def read(self, size):
        size = min(size, self.left)
        self.left -= size
        return bytes(size)


def kinds(btf, name):
    good = tar_xz({"./" + name: btf})
    flipped = bytearray(good)
    flipped[len(flipped) // 2] ^= 0xff
    return {
        "good": lambda: good,
        "cut": lambda: good[:len(good) // 2],
        "flipped": lambda: bytes(flipped),
        "empty": lambda: b"",
        "page": lambda: b"<html>not found</html>",
        "elsewhere": lambda: tar_xz({"other.btf": btf}),
        "link": lambda: link(name),
        "notypes": lambda: tar_xz({name: b"no types at all" * 100}),
        "bomb": lambda: tar_xz({name: 33 << 20}),
        "huge": lambda: bytes(17 << 20),
    }


def link(name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as tar:
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE
        info.linkname = "/etc/passwd"
        tar.addfile(info)
    return out.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, rest = self.path[1:].partition("/")
        if rest != self.server.wanted or kind not in self.server.kinds:
            if kind not in ("short", "redirect") or rest != self.server.wanted:
                return self.send_error(404)
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
            return None
        body = self.server.kinds["good" if kind == "short" else kind]()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body[:len(body) // 2] if kind == "short" else body)
        except OSError:
            pass  # the client had enough
        return None

    def log_message(self, *args):
        pass


def main():
    with open(sys.argv[1], "rb") as f:
        btf = f.read()
    name = sys.argv[2] + ".btf"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.kinds = kinds(btf, name)
    server.wanted = f"testos/1.0/x86_64/{name}.tar.xz"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
