# Finds libtorch: SACCADE_TORCH_DIR (an unpacked libtorch or a torch wheel's folder), else the wheel in
# this checkout's .venv, else the python3 on PATH.
if(NOT SACCADE_TORCH_DIR)
  set(SACCADE_PYTHON ${CMAKE_SOURCE_DIR}/.venv/bin/python)
  if(NOT EXISTS ${SACCADE_PYTHON})
    set(SACCADE_PYTHON python3)
  endif()
  execute_process(
    COMMAND ${SACCADE_PYTHON} -c "import torch, os; print(os.path.dirname(torch.__file__))"
    OUTPUT_VARIABLE SACCADE_TORCH_DIR OUTPUT_STRIP_TRAILING_WHITESPACE
    RESULT_VARIABLE torch_found ERROR_QUIET)
  if(NOT torch_found EQUAL 0)
    message(FATAL_ERROR "libtorch not found: run scripts/setup.sh or set SACCADE_TORCH_DIR")
  endif()
endif()
list(PREPEND CMAKE_PREFIX_PATH ${SACCADE_TORCH_DIR})
find_package(Torch REQUIRED)

# The wheel brings its own libgomp. Linking the compiler's as well would give the process two thread
# pools, so -fopenmp is a compile flag only and the wheel's library is what gets linked.
file(GLOB torch_gomp ${SACCADE_TORCH_DIR}/lib/libgomp*.so*)
add_library(saccade_torch INTERFACE)
target_include_directories(saccade_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
separate_arguments(torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(saccade_torch INTERFACE ${torch_flags} -fopenmp)
target_link_libraries(saccade_torch INTERFACE ${TORCH_LIBRARIES} ${torch_gomp})
set(CMAKE_BUILD_RPATH ${SACCADE_TORCH_DIR}/lib)
