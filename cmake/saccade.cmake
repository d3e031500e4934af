# Shared compile rules. Every library and test of this repository goes through these functions.

add_library(saccade_options INTERFACE)
target_include_directories(saccade_options INTERFACE ${CMAKE_SOURCE_DIR})
# GCC 12 sees overflows inside its own std::string at -O3 that are not there (its bugs 105651, 105329).
target_compile_options(saccade_options INTERFACE -Wall -Wextra -Werror
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread>)
if(SACCADE_SANITIZE)
  # GCC 12 warns of uninitialised values in code that its sanitizers have instrumented (std::variant).
  target_compile_options(saccade_options INTERFACE -fsanitize=${SACCADE_SANITIZE} -fno-omit-frame-pointer -g1
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  target_link_options(saccade_options INTERFACE -fsanitize=${SACCADE_SANITIZE})
endif()

# saccade_library(NAME SOURCES a.cc b.cc ALONE c.cc DEPS x y): sources are compiled a few at a time (what
# they include is read once), those after ALONE one by one. Names of an anonymous namespace are therefore
# the library's: no two files define the same one.
function(saccade_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;ALONE;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES} ${ARG_ALONE})
  target_link_libraries(${name} PUBLIC saccade_options ${ARG_DEPS})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${SACCADE_UNITY} UNITY_BUILD_BATCH_SIZE 5)
  set_source_files_properties(${ARG_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# saccade_precompiled(HEADER_LIBRARY TARGET...): the targets start from the header that HEADER_LIBRARY
# has precompiled. -fpch-preprocess lets ccache see through it.
function(saccade_precompiled from)
  foreach(target ${ARGN})
    target_precompile_headers(${target} REUSE_FROM ${from})
    # Position-independent as libraries are (programs get -fPIE): the header was compiled so.
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fpch-preprocess -fPIC)
  endforeach()
endfunction()

# saccade_test(NAME SOURCES a_test.cc DEPS x y): a Catch2 program, each test case one ctest entry.
function(saccade_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} saccade_options Catch2::Catch2WithMain)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
endfunction()

# Adds the listed folders that hold a CMakeLists.txt.
macro(saccade_subdirectories)
  foreach(folder ${ARGN})
    if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/CMakeLists.txt)
      add_subdirectory(${folder})
    endif()
  endforeach()
endmacro()
