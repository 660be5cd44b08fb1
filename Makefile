# The commands of this project. The building itself is CMake's: see CMakeLists.txt and CMakePresets.json.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
export CTEST_PARALLEL_LEVEL ?= 2
SOURCES = $(shell git ls-files -co --exclude-standard '*.cc' '*.h')
SCRIPTS = $(shell grep -lE '^\#!/bin/(ba)?sh' scripts/* tests/*.sh .ci/run)

.PHONY: help setup build run test bench install asan tsan fuzz lint format clean

help:
	@echo 'make setup          install what is missing (apt)'
	@echo 'make build          setup, then build: programs in build/bin'
	@echo 'make run [IFACE=x]  build, then record an interface until Ctrl-C'
	@echo 'make test           build, then all tests'
	@echo 'make install        build, then install below PREFIX (/usr) and DESTDIR'
	@echo 'make bench          build, then the benchmarks (bench/run capture --help)'
	@echo 'make asan | tsan    the tests under sanitizers'
	@echo 'make fuzz           each fuzzer for FUZZ_SECONDS (default 60)'
	@echo 'make lint format    clang-tidy and shellcheck; clang-format'
	@echo 'make clean          remove build/'

setup:
	@scripts/setup

build: setup
	@cmake --preset release --log-level=WARNING > /dev/null
	@cmake --build --preset release -j $(JOBS)

run: build
	@scripts/run $(IFACE)

test: build
	@ctest --test-dir build --output-on-failure

PREFIX ?= /usr
install: build
	@DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

bench: build
	@bench/run

# A sanitizer's build and tests: the same tests, another directory.
asan: setup
	@cmake --preset asan-ubsan --log-level=WARNING > /dev/null
	@cmake --build --preset asan-ubsan -j $(JOBS)
	@ctest --test-dir build/asan-ubsan --output-on-failure

tsan: setup
	@cmake --preset tsan --log-level=WARNING > /dev/null
	@cmake --build --preset tsan -j $(JOBS)
	@TSAN_OPTIONS=suppressions=$(CURDIR)/cmake/tsan.supp ctest --test-dir build/tsan --output-on-failure

FUZZ_SECONDS ?= 60
fuzz: setup
	@command -v clang++-19 > /dev/null || { echo 'make fuzz needs clang++-19 (package clang-19)' >&2; exit 1; }
	@cmake --preset fuzz --log-level=WARNING > /dev/null
	@cmake --build --preset fuzz -j $(JOBS)
	@for fuzzer in build/fuzz-clang/bin/*_fuzz; do \
	  name=$${fuzzer##*/}; found=build/fuzz-clang/corpus/$$name; seeds=fuzz/corpus/$$name; mkdir -p $$found; \
	  [ -d $$seeds ] || seeds=; \
	  echo "$$name"; $$fuzzer -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 $$found $$seeds || exit 1; \
	done

lint: build
	@command -v clang-tidy-19 > /dev/null || { echo 'make lint needs clang-tidy-19' >&2; exit 1; }
	@clang-format-19 --dry-run -Werror $(SOURCES)
	@command -v shellcheck > /dev/null && shellcheck $(SCRIPTS) || echo 'no shellcheck: scripts not looked at'
	@run-clang-tidy-19 -quiet -p build -j $(JOBS) $(filter %.cc,$(SOURCES))

format:
	@clang-format-19 -i $(SOURCES)

clean:
	@rm -rf build
