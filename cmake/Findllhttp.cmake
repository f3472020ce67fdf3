# llhttp::llhttp, the HTTP/1.1 tokenizer.
#
# In this order: the CMake package that llhttp installs itself, a system library with header, and the C sources that
# Debian ships in node-llhttp. The sources are compiled as they are, without our warnings.
if(TARGET llhttp::llhttp)
    return()
endif()

find_package(llhttp CONFIG QUIET)
foreach(candidate llhttp::llhttp llhttp::llhttp_shared llhttp::llhttp_static)
    if(TARGET ${candidate})
        if(NOT candidate STREQUAL "llhttp::llhttp")
            add_library(llhttp::llhttp INTERFACE IMPORTED GLOBAL)
            set_target_properties(llhttp::llhttp PROPERTIES INTERFACE_LINK_LIBRARIES ${candidate})
        endif()
        set(llhttp_FOUND TRUE)
        return()
    endif()
endforeach()

find_path(LLHTTP_INCLUDE_DIR llhttp.h PATH_SUFFIXES llhttp)
find_library(LLHTTP_LIBRARY llhttp)
find_path(LLHTTP_SOURCE_DIR llhttp.c PATHS /usr/share/llhttp /usr/share/nodejs/llhttp/src NO_DEFAULT_PATH)
find_path(LLHTTP_SOURCE_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp /usr/share/llhttp NO_DEFAULT_PATH)
mark_as_advanced(LLHTTP_INCLUDE_DIR LLHTTP_LIBRARY LLHTTP_SOURCE_DIR LLHTTP_SOURCE_INCLUDE_DIR)

if(LLHTTP_INCLUDE_DIR AND LLHTTP_LIBRARY)
    add_library(llhttp::llhttp UNKNOWN IMPORTED GLOBAL)
    set_target_properties(llhttp::llhttp PROPERTIES
        IMPORTED_LOCATION "${LLHTTP_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${LLHTTP_INCLUDE_DIR}")
    set(llhttp_FOUND TRUE)
elseif(LLHTTP_SOURCE_DIR AND LLHTTP_SOURCE_INCLUDE_DIR)
    add_library(llhttp_sources STATIC
        "${LLHTTP_SOURCE_DIR}/api.c" "${LLHTTP_SOURCE_DIR}/http.c" "${LLHTTP_SOURCE_DIR}/llhttp.c")
    target_include_directories(llhttp_sources SYSTEM PUBLIC "${LLHTTP_SOURCE_INCLUDE_DIR}")
    target_compile_options(llhttp_sources PRIVATE -w)
    set_target_properties(llhttp_sources PROPERTIES POSITION_INDEPENDENT_CODE ON)
    add_library(llhttp::llhttp ALIAS llhttp_sources)
    set(llhttp_FOUND TRUE)
else()
    set(llhttp_FOUND FALSE)
    if(llhttp_FIND_REQUIRED)
        message(FATAL_ERROR "llhttp was not found. On Debian: apt install node-llhttp")
    endif()
endif()
