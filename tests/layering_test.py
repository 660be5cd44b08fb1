#!/usr/bin/env python3
"""The layers of src/: a module includes only itself and modules before it, and only what its line in CMakeLists.txt
gives it; a library's headers are included in one place only. Usage: layering_test.py [SOURCE_TREE]"""
import os
import re
import sys
import tempfile

LAYERS = ["base", "packet", "pcap", "storage", "index", "query", "capture", "server", "client"]

# Header prefix -> the paths below src/ that may include it. Elsewhere the module's own interface is used instead.
LIBRARIES = {
    "boost/": ["server/http/"],
    "openssl/": ["server/http/"],
    "grpc": ["server/rpc/grpc_"],
    "google/protobuf/": ["server/rpc/grpc_"],
    "steno.": ["server/rpc/grpc_"],
    "curl/": ["client/connection.cc"],
    "liburing": ["storage/"],
    "pcap/": ["query/", "capture/filter_expression", "capture/user_filter"],
    "pcap.h": ["query/"],
    "seccomp.h": ["capture/"],
    "cap-ng.h": ["capture/"],
    "leveldb/": ["index/google_v2"],
    "spdlog/": ["base/log"],
    "CLI/": ["capture/capture_options.cc"],
    "nlohmann/": ["query/summary_json", "server/", "client/client_config.cc", "client/explain.cc"],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
MODULE_LINE = re.compile(r"^steno_module\((\w+)\s+DEPS\s+([^)]*)\)", re.M)


def declared_dependencies(cmake_text):
    """Module -> all modules that it may use, those of its dependencies included."""
    direct = {name: {word[6:] for word in words.split() if word.startswith("steno_")}
              for name, words in MODULE_LINE.findall(cmake_text)}

    def reach(name, path=()):
        if name in path:
            raise SystemExit("CMakeLists.txt: modules in a circle: %s" % " -> ".join(path + (name,)))
        found = set(direct[name])
        for other in direct[name]:
            found |= reach(other, path + (name,))
        return found
    return {name: reach(name) for name in direct}


def check_module_include(module, target, allowed, test):
    if target == module:
        return None
    if LAYERS.index(target) > LAYERS.index(module):
        return "%s comes after %s in the layers" % (target, module)
    if target not in allowed[module] and not test:
        return "CMakeLists.txt does not let %s use %s" % (module, target)
    return None


def check_include(path, bracket, header, allowed, modules_present):
    """A complaint about one #include of the file `path` (below src/), or None."""
    test = re.search(r"(_test\.(cc|h)|/test_\w+\.h)$", path) is not None
    first = header.split("/")[0]
    if bracket == '"':
        if "/" not in header:
            return 'name headers from src/ on: "%s/%s"' % (os.path.dirname(path), header)
        if first == "testing":
            return None if test else "only tests include testing/"
        if first not in modules_present:
            return "there is no module %s" % first
        return check_module_include(path.split("/")[0], first, allowed, test)
    if first in modules_present and not any(header.startswith(prefix) for prefix in LIBRARIES):
        return "own headers are included with quotes"
    for prefix, places in LIBRARIES.items():
        if header.startswith(prefix) and not test and not any(path.startswith(place) for place in places):
            return "<%s> is included in %s only" % (header, ", ".join(places))
    return None


def complaints(tree):
    with open(os.path.join(tree, "CMakeLists.txt")) as file:
        allowed = declared_dependencies(file.read())
    source = os.path.join(tree, "src")
    modules = [name for name in os.listdir(source) if os.path.isdir(os.path.join(source, name))]
    for name in sorted(modules):
        if name not in LAYERS or name not in allowed:
            yield "src/%s: a module that the layers or CMakeLists.txt do not know" % name
    files = 0
    for directory, _, names in os.walk(source):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(directory, name), source)
            if not name.endswith((".h", ".cc")) or path.split("/")[0] not in LAYERS:
                continue
            files += 1
            with open(os.path.join(directory, name)) as file:
                for number, line in enumerate(file, 1):
                    match = INCLUDE.match(line)
                    what = match and check_include(path, match[1], match[2], allowed, modules)
                    if what:
                        yield "src/%s:%d: %s" % (path, number, what)
    if files == 0:
        yield "src: no source file found"


def self_test():
    """The check itself must find what it is for."""
    cmake = "steno_module(base DEPS x)\nsteno_module(packet DEPS steno_base)\nsteno_module(pcap DEPS steno_packet)\n" \
            "steno_module(storage DEPS steno_packet y)\n"
    sources = {
        "base/a.h": ('#include "packet/b.h"', "comes after"),
        "storage/c.cc": ('#include "pcap/d.h"', "does not let"),
        "pcap/d.cc": ('  #  include <curl/curl.h>', "only"),
        "pcap/e.cc": ('#include "e.h"', "from src/ on"),
        "pcap/f.cc": ('#include "testing/t.h"', "only tests"),
        "packet/g.cc": ('#include <base/a.h>', "quotes"),
        "packet/h.cc": ('#include "base/a.h"\n#include <vector>', None),
        "pcap/i_test.cc": ('#include "testing/t.h"\n#include "packet/b.h"', None),
    }
    with tempfile.TemporaryDirectory() as tree:
        with open(tree + "/CMakeLists.txt", "w") as file:
            file.write(cmake)
        for path, (text, _) in sources.items():
            os.makedirs(os.path.dirname("%s/src/%s" % (tree, path)), exist_ok=True)
            with open("%s/src/%s" % (tree, path), "w") as file:
                file.write(text + "\n")
        found = list(complaints(tree))
    for path, (_, expected) in sources.items():
        about = [line for line in found if line.startswith("src/" + path)]
        if expected is None and about or expected is not None and not (len(about) == 1 and expected in about[0]):
            raise SystemExit("layering_test itself is broken: %s: expected %s, found %s" % (path, expected, about))


def main():
    self_test()
    tree = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = list(complaints(tree))
    print("\n".join(found) or "the layers hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
