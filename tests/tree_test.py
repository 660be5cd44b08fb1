#!/usr/bin/env python3
"""The shape of the source tree: sizes of files and functions, words that have no place in it, programs that stay thin,
scripts that can be run, and one version number. Usage: tree_test.py [SOURCE_TREE]"""
import os
import re
import subprocess
import sys

MAX_FILE_LINES = 600
MAX_PROGRAM_LINES = 100
MAX_FUNCTION_LINES = 60

SOURCE_ENDINGS = (".cc", ".h")
TEXT_ENDINGS = SOURCE_ENDINGS + (".py", ".sh", ".md", ".txt", ".cmake", ".json", ".service", ".c")

# Pattern -> (what is wrong, the folders where it is right).
FORBIDDEN = {
    r"\bTO" r"DO\b|\bFIX" r"ME\b|\bX" r"XX\b": ("unfinished work belongs to no release", ()),
    r"/wo" r"rk/": ("a path of one machine", ()),
    r"\.\./sha" r"red": ("data beside the tree is for tests and benchmarks", ("tests/", "bench/")),
    r"^(<<<<<<<|>>>>>>>) ": ("the mark of a conflict", ()),
}


def files_of(tree):
    """Files under version control or new, or all files where there is no git."""
    listed = subprocess.run(["git", "-C", tree, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(directory, name), tree)
                 for directory, _, found in os.walk(tree) for name in found]
    skipped = (".git/", "build", "run/")
    return sorted(name for name in set(names) if not name.startswith(skipped) and os.path.isfile(os.path.join(tree, name)))


def is_text(name):
    base = os.path.basename(name)
    return name.endswith(TEXT_ENDINGS) or base == "Makefile" or name.startswith("scripts/") or name.startswith(".ci/")


def function_lengths(lines):
    """(first line, length) of every function body: from a line that ends in ") {" to the brace that closes it."""
    for start, line in enumerate(lines):
        if not re.search(r"\)( const)?( noexcept)?( override)?( ->.*)? \{$", line):
            continue
        if re.match(r"^\s*(if|for|while|switch|\} else|TEST|TEST_F|TEST_P)\b", line):
            continue
        depth = 0
        for end in range(start, len(lines)):
            code = re.sub(r"'.'|\"(\\.|[^\"\\])*\"|//.*", "", lines[end])
            depth += code.count("{") - code.count("}")
            if depth <= 0:
                yield start + 1, end - start + 1
                break


def check_text(name, lines):
    for pattern, (why, places) in FORBIDDEN.items():
        if name.startswith(places) if places else False:
            continue
        for number, line in enumerate(lines, 1):
            if re.search(pattern, line):
                yield "%s:%d: %s: %s" % (name, number, why, line.strip()[:80])


def check_source(name, lines):
    if len(lines) > MAX_FILE_LINES:
        yield "%s: %d lines, at most %d" % (name, len(lines), MAX_FILE_LINES)
    if name.startswith("apps/") and len(lines) > MAX_PROGRAM_LINES:
        yield "%s: %d lines, a program's main file has at most %d" % (name, len(lines), MAX_PROGRAM_LINES)
    if not name.endswith(SOURCE_ENDINGS):
        return
    if name.endswith(".h") and "#pragma once" not in (line.strip() for line in lines):
        yield "%s: no #pragma once" % name
    for number, length in function_lengths(lines):
        if length > MAX_FUNCTION_LINES:
            yield "%s:%d: a function of %d lines, at most %d" % (name, number, length, MAX_FUNCTION_LINES)


def check_script(tree, name, lines):
    if not lines or not lines[0].startswith("#!"):
        return
    if (name.startswith(("scripts/", ".ci/")) or name.endswith(".sh")) and not os.access(os.path.join(tree, name), os.X_OK):
        yield "%s: a script that is not executable" % name
    if "bash" in lines[0] or "/sh" in lines[0]:
        checked = subprocess.run(["bash", "-n", os.path.join(tree, name)], capture_output=True, text=True)
        if checked.returncode != 0:
            yield "%s: %s" % (name, checked.stderr.strip())


def check_versions(texts):
    """Programs state the version of the project."""
    project = re.search(r"project\(\w+ VERSION (\S+)", "\n".join(texts["CMakeLists.txt"]))[1]
    for name, lines in texts.items():
        if not name.startswith(("apps/", "src/")):
            continue
        for match in re.finditer(r'Version = "([^"]+)"', "\n".join(lines)):
            if match[1] != project:
                yield "%s: version %s, the project's is %s" % (name, match[1], project)


def complaints(tree):
    texts = {}
    for name in files_of(tree):
        if is_text(name):
            with open(os.path.join(tree, name), encoding="utf-8") as file:
                texts[name] = file.read().splitlines()
    for name, lines in texts.items():
        yield from check_text(name, lines)
        yield from check_source(name, lines)
        yield from check_script(tree, name, lines)
    yield from check_versions(texts)


def self_test():
    """Each check must be able to fail."""
    body = ["int F(int a) {"] + ["  a++;"] * MAX_FUNCTION_LINES + ["}"]
    cases = [
        (check_source("src/a.cc", ["x"] * (MAX_FILE_LINES + 1)), 1),
        (check_source("src/a.cc", ["x"] * MAX_FILE_LINES), 0),
        (check_source("apps/a.cc", ["x"] * (MAX_PROGRAM_LINES + 1)), 1),
        (check_source("src/a.h", ["int x;"]), 1),
        (check_source("src/a.cc", body), 1),
        (check_source("src/a.cc", body[:2] + ["}"]), 0),
        (check_text("src/a.cc", ["// TO" "DO: more"]), 1),
        (check_text("docs/a.md", ["see ../sha" "red/x"]), 1),
        (check_text("tests/a.py", ["see ../sha" "red/x"]), 0),
        (check_text("tests/a.py", ["/wo" "rk/x"]), 1),
        (check_versions({"CMakeLists.txt": ["project(x VERSION 2.0.0 L)"], "src/a.h": ['kVersion = "2.0.1"']}), 1),
    ]
    for number, (found, expected) in enumerate(cases):
        found = list(found)
        if len(found) != expected:
            raise SystemExit("tree_test itself is broken: case %d: %s" % (number, found))


def main():
    self_test()
    tree = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = list(complaints(tree))
    print("\n".join(found) or "the tree is in shape")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
