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

if(RAFTMQ_ASAN)
    add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=address,undefined)
endif()
if(RAFTMQ_TSAN)
    add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
    add_link_options(-fsanitize=thread)
endif()
