# How the .cu files are built. MINNOW_CUDA is
#   ON    by nvcc, for a GPU;
#   OFF   not at all: the processor only, no toolkit needed;
#   HOST  by the C++ compiler, to be executed by the processor (kernels/host): every kernel can be
#         tested, under sanitizers too, where there is no GPU;
#   AUTO  ON where an nvcc that knows C++20 and cuDNN are found, otherwise OFF.
set(MINNOW_CUDA "AUTO" CACHE STRING "CUDA sources: ON, OFF, HOST (executed by the processor) or AUTO")
set_property(CACHE MINNOW_CUDA PROPERTY STRINGS AUTO ON OFF HOST)
set(MINNOW_CUDA_ARCHITECTURES "80-real;90" CACHE STRING
    "GPUs to compile for; without -real also PTX for later ones")

macro(minnow_find_cudnn)
  find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} /usr/local/cuda/lib64)
  find_path(CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
endmacro()

if(MINNOW_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  set(minnow_cuda OFF)
  if(CMAKE_CUDA_COMPILER)
    # An old toolkit, such as Debian 12's, or one without cuDNN is no reason not to build.
    find_package(CUDAToolkit QUIET)
    minnow_find_cudnn()
    if(CUDAToolkit_VERSION VERSION_LESS 12)
      message(STATUS "CUDA is left out: ${CMAKE_CUDA_COMPILER} is ${CUDAToolkit_VERSION}; needs 12")
    elseif(NOT CUDNN_LIBRARY OR NOT CUDNN_INCLUDE)
      message(STATUS "CUDA is left out: no cuDNN beside ${CMAKE_CUDA_COMPILER}")
    else()
      set(minnow_cuda ON)
    endif()
  endif()
else()
  set(minnow_cuda ${MINNOW_CUDA})
endif()
if(NOT minnow_cuda MATCHES "^(ON|OFF|HOST)$")
  message(FATAL_ERROR "MINNOW_CUDA: ON, OFF, HOST or AUTO; got ${MINNOW_CUDA}")
endif()
message(STATUS "CUDA sources: ${minnow_cuda}")

# What the kernels library gets besides its .cpp files.
function(minnow_add_cuda target)
  if(minnow_cuda STREQUAL "OFF")
    return()
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/*.cu)
  target_compile_definitions(${target} PUBLIC MINNOW_CUDA=1)
  if(minnow_cuda STREQUAL "HOST")
    # Of a real device only.
    list(REMOVE_ITEM sources ${CMAKE_SOURCE_DIR}/kernels/runtime.cu
         ${CMAKE_SOURCE_DIR}/kernels/cudnn_graph.cu)
    set_source_files_properties(${sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-x;c++")
    target_compile_definitions(${target} PUBLIC MINNOW_CUDA_HOST)
    target_link_libraries(${target} PRIVATE Boost::context)
  else()
    # The standard library's constexpr functions (std::bit_cast) are called on the device, too.
    target_compile_options(${target} PRIVATE
      "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Werror=all-warnings>")
    # The static runtime, which CMake links for the CUDA language anyway: with the shared one beside
    # it, kernels would be registered with the one and started by the other.
    target_link_libraries(${target} PRIVATE CUDA::cudart_static CUDA::cublas CUDA::cublasLt cudnn)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES "${MINNOW_CUDA_ARCHITECTURES}")
  endif()
  target_sources(${target} PRIVATE ${sources})
endfunction()
