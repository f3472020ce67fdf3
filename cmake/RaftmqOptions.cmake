# Build type, warnings and sanitizers of every target of the project.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

option(RAFTMQ_ASAN "Build with AddressSanitizer, LeakSanitizer and UBSan; the first report ends the process" OFF)
option(RAFTMQ_TSAN "Build with ThreadSanitizer" OFF)
option(RAFTMQ_PLANTED_BUGS "Build in bugs that can be switched on by name, and rare paths: never for use, docs/TESTING.md" OFF)

# Assertions stay on in every build: they are part of the program (docs/ARCHITECTURE.md).
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
if(RAFTMQ_ASAN OR RAFTMQ_TSAN)
    set(CMAKE_C_FLAGS_DEBUG "-O1 -g") # half the time of -O0, stacks as readable
else()
    set(CMAKE_C_FLAGS_DEBUG "-O0 -g")
endif()

add_library(raftmq_options INTERFACE)
target_compile_options(raftmq_options INTERFACE
    -Wall -Wextra -Wconversion -Wshadow -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes -Werror
    -fno-common -fstack-protector-strong)
target_compile_definitions(raftmq_options INTERFACE _GNU_SOURCE)

# <planted/planted.h>, <rare/rare.h>: without the option each header defines one macro, the constant false.
target_include_directories(raftmq_options INTERFACE
    "${CMAKE_SOURCE_DIR}/tests/planted/include" "${CMAKE_SOURCE_DIR}/tests/rare/include")
if(RAFTMQ_PLANTED_BUGS)
    add_library(planted STATIC "${CMAKE_SOURCE_DIR}/tests/planted/planted.c")
    target_compile_definitions(planted PUBLIC RAFTMQ_PLANTED_BUGS)
    target_include_directories(planted PRIVATE "${CMAKE_SOURCE_DIR}/tests/planted/include")
    add_library(rare STATIC "${CMAKE_SOURCE_DIR}/tests/rare/rare.c")
    target_compile_definitions(rare PUBLIC RAFTMQ_PLANTED_BUGS)
    target_include_directories(rare PRIVATE "${CMAKE_SOURCE_DIR}/tests/rare/include")
    target_link_libraries(raftmq_options INTERFACE planted rare)
endif()

if(RAFTMQ_ASAN)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
endif()
if(RAFTMQ_TSAN)
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
    add_link_options(-fsanitize=thread)
endif()
