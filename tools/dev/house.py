"""What the house checks share: walking the checkout, reading C++ without its comments, reporting."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = {".git", "build", "__pycache__", ".pytest_cache", ".cache"}


def files(root, *suffixes):
    """Every file under root with one of the suffixes (all, if none), relative to root, in a fixed order."""
    found = []
    pending = [pathlib.Path(root)]
    while pending:
        for entry in pending.pop().iterdir():
            if entry.name in SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                pending.append(entry)
            elif not suffixes or entry.name.endswith(suffixes):
                found.append(entry.relative_to(root))
    return sorted(found)


COMMENT_OR_LITERAL = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)


def code_only(text):
    """C++ with comments and literals blanked out; line numbers stay."""
    return COMMENT_OR_LITERAL.sub(lambda m: '""' + "\n" * m.group().count("\n"), text)


def without_comments(text):
    return COMMENT_OR_LITERAL.sub(lambda m: "\n" * m.group().count("\n") if m.group()[0] == "/" else m.group(), text)


def report(name, violations):
    """Prints the violations; the exit status of a check's main."""
    for violation in violations:
        print(violation, file=sys.stderr)
    if violations:
        print(f"{name}: {len(violations)} violations", file=sys.stderr)
        return 1
    return 0
