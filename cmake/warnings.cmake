# Every compiler flag of the project, in one place.
add_compile_options(-Wall -Wextra -Wconversion -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(STENO_SANITIZE)
  add_compile_options(-fsanitize=${STENO_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${STENO_SANITIZE})
else()
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2> -fstack-protector-strong)
endif()
add_compile_definitions($<$<NOT:$<CONFIG:Release>>:_GLIBCXX_ASSERTIONS> SPDLOG_ACTIVE_LEVEL=SPDLOG_LEVEL_TRACE)
