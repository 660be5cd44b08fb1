// STENO_CHECK: a programmer's error ends the program. Never for I/O or for input: those return an Error.
#pragma once

#include <cstdio>
#include <cstdlib>

#define STENO_CHECK(condition)                                                                   \
  do {                                                                                           \
    if (!(condition)) [[unlikely]] {                                                             \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);         \
      std::abort();                                                                              \
    }                                                                                            \
  } while (0)
