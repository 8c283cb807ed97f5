# How the .cu files are built. MINNOW_CUDA is
#   ON    by nvcc, for a GPU;
#   OFF   not at all: the processor only, no toolkit needed;
#   HOST  by the C++ compiler, to be executed by the processor (kernels/host): every kernel can be
#         tested, under sanitizers too, where there is no GPU;
#   AUTO  ON where nvcc is found, otherwise OFF.
set(MINNOW_CUDA "AUTO" CACHE STRING "CUDA sources: ON, OFF, HOST (executed by the processor) or AUTO")
set_property(CACHE MINNOW_CUDA PROPERTY STRINGS AUTO ON OFF HOST)
set(MINNOW_CUDA_ARCHITECTURES "80-real;90" CACHE STRING
    "GPUs to compile for; without -real also PTX for later ones")

if(MINNOW_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(minnow_cuda ON)
  else()
    set(minnow_cuda OFF)
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
