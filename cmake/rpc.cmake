# The gRPC interface of the server, if gRPC is there: the library steno_rpc_messages of what protoc makes of
# src/server/rpc/steno.proto. Sets STENO_RPC_DEPS and STENO_RPC_WITHOUT for the server's module.
option(STENO_RPC "Build the gRPC interface where gRPC is installed" ON)
pkg_check_modules(GRPC QUIET IMPORTED_TARGET grpc++>=1.51 protobuf)
find_library(GRPC_REFLECTION_LIBRARY grpc++_reflection)
find_program(PROTOC protoc)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin)

if(STENO_RPC AND GRPC_FOUND AND GRPC_REFLECTION_LIBRARY AND PROTOC AND GRPC_CPP_PLUGIN)
  set(proto ${CMAKE_SOURCE_DIR}/src/server/rpc/steno.proto)
  set(generated ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${generated})
  set(outputs ${generated}/steno.pb.cc ${generated}/steno.pb.h ${generated}/steno.grpc.pb.cc ${generated}/steno.grpc.pb.h)
  add_custom_command(OUTPUT ${outputs} DEPENDS ${proto} VERBATIM
    COMMAND ${PROTOC} -I ${CMAKE_SOURCE_DIR}/src/server/rpc --cpp_out=${generated} --grpc_out=${generated}
            --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto})
  add_library(steno_rpc_messages STATIC ${outputs})
  target_include_directories(steno_rpc_messages SYSTEM PUBLIC ${generated})
  target_compile_options(steno_rpc_messages PRIVATE -w)
  # Its package names every library that its own libraries use.
  target_link_options(steno_rpc_messages PUBLIC LINKER:--as-needed)
  target_link_libraries(steno_rpc_messages PUBLIC PkgConfig::GRPC ${GRPC_REFLECTION_LIBRARY})
  set(STENO_RPC_DEPS steno_rpc_messages)
  set(STENO_RPC_WITHOUT "rpc/without_grpc")
else()
  message(STATUS "Building without the gRPC interface")
  set(STENO_RPC_DEPS)
  set(STENO_RPC_WITHOUT "rpc/grpc_")
endif()
