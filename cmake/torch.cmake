# Finds libtorch: SACCADE_TORCH_DIR (an unpacked libtorch or a torch wheel's folder), else the wheel in
# this checkout's .venv, else the python3 on PATH. The libraries are named here and not by find_package(Torch),
# whose CUDA side asks for a whole CUDA toolkit of the version that the wheel was built with.
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

set(torch_libraries)
foreach(name torch torch_cpu c10)
  find_library(torch_${name} ${name} PATHS ${SACCADE_TORCH_DIR}/lib NO_DEFAULT_PATH REQUIRED)
  list(APPEND torch_libraries ${torch_${name}})
endforeach()

# The wheel brings its own libgomp. Linking the compiler's as well would give the process two thread
# pools, so -fopenmp is a compile flag only and the wheel's library is what gets linked.
file(GLOB torch_gomp ${SACCADE_TORCH_DIR}/lib/libgomp*.so*)
add_library(saccade_torch INTERFACE)
target_include_directories(saccade_torch SYSTEM INTERFACE
  ${SACCADE_TORCH_DIR}/include ${SACCADE_TORCH_DIR}/include/torch/csrc/api/include)
target_compile_options(saccade_torch INTERFACE -fopenmp)
target_link_libraries(saccade_torch INTERFACE ${torch_libraries} ${torch_gomp})
set(CMAKE_BUILD_RPATH ${SACCADE_TORCH_DIR}/lib)

# A libtorch with CUDA: its operators register themselves when their library is loaded, which nothing
# refers to by name. What that library needs in turn lies where its own search path says. With nvcc at
# hand our own kernels are built too; without it the model runs on ATen's operators.
set(SACCADE_CUDA OFF)
find_library(torch_torch_cuda torch_cuda PATHS ${SACCADE_TORCH_DIR}/lib NO_DEFAULT_PATH)
if(torch_torch_cuda)
  find_library(torch_c10_cuda c10_cuda PATHS ${SACCADE_TORCH_DIR}/lib NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(saccade_torch INTERFACE
    -Wl,--no-as-needed ${torch_torch_cuda} ${torch_c10_cuda} -Wl,--allow-shlib-undefined)
  find_program(CMAKE_CUDA_COMPILER nvcc PATHS /usr/local/cuda/bin)
  # One process, one CUDA runtime: libtorch's.
  file(GLOB torch_cudart ${SACCADE_TORCH_DIR}/lib/libcudart*.so* ${SACCADE_TORCH_DIR}/../nvidia/*/lib/libcudart.so*)
  if(CMAKE_CUDA_COMPILER AND torch_cudart)
    set(SACCADE_CUDA ON)
    list(GET torch_cudart 0 torch_cudart)
    target_link_libraries(saccade_torch INTERFACE ${torch_cudart})
    get_filename_component(torch_cudart_folder ${torch_cudart} DIRECTORY)
    list(APPEND CMAKE_BUILD_RPATH ${torch_cudart_folder})
    set(CMAKE_CUDA_RUNTIME_LIBRARY None)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80 90)
    endif()
    set(CMAKE_CUDA_STANDARD 17)  # the newest that CMake 3.25 can name
  endif()
endif()
