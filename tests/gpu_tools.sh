#!/usr/bin/env bash
# What tests/gpu.sh, which sources this file, finds on a machine: the toolkit, the pack of `./dev gpu --pack`, and
# libraries of CUDA that came with Python's packages. Reads `pack`, `python` and `has`; sets `cuda_options`.
: "${pack:=build/pack}" "${python:=python3}"

find_tools() {
  local folder
  for folder in /usr/local/cuda/bin /usr/local/nvidia/bin; do
    if [[ -d $folder ]]; then PATH=$PATH:$folder; fi
  done
}

# The pack's libraries come before those of the system, to be built with and to run with.
use_pack() {
  [[ -d $pack/usr ]] || return 0
  local folder libraries=()
  pack=$(cd "$pack" && pwd)
  for folder in "$pack"/usr/lib/*-linux-gnu*; do libraries+=("$folder"); done
  CMAKE_PREFIX_PATH=$pack/usr:${libraries[0]}/cmake${CMAKE_PREFIX_PATH:+:$CMAKE_PREFIX_PATH}
  CMAKE_LIBRARY_PATH=${libraries[0]}${CMAKE_LIBRARY_PATH:+:$CMAKE_LIBRARY_PATH}
  # A library's own needs are not found through the path recorded in the program.
  LD_LIBRARY_PATH=${libraries[0]}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CMAKE_PREFIX_PATH CMAKE_LIBRARY_PATH LD_LIBRARY_PATH
}

# Folders of NVIDIA's Python packages, which hold cuBLAS and cuDNN where the toolkit does not.
python_nvidia() {
  "$python" -c 'import importlib.util as u
for root in u.find_spec("nvidia").submodule_search_locations: print(root)' 2>/dev/null || true
}

# one FILE_PATTERN FOLDER...: the first such file.
one() {
  local pattern=$1
  shift
  if (($#)); then find -L "$@" -name "$pattern" 2>/dev/null | LC_ALL=C sort | head -n 1 || true; fi
}

# Sets cuda_options, and what programs need to find their libraries.
find_cuda() {
  cuda_options=()
  local root roots=() library file header system=(/usr/include /usr/include/*-linux-gnu)
  has nvcc || return 0
  root=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
  # Programs built elsewhere look for the toolkit where it was there.
  export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$root/lib64
  mapfile -t roots < <(python_nvidia)
  for library in cublas cublasLt cudnn; do
    header=$library.h
    if [[ $library == cublas ]]; then header=cublas_v2.h; fi
    [[ -z $(one "$header" "$root"/include "$root"/targets/*/include) ]] || continue
    [[ ! -e ${system[0]}/$header && ! -e ${system[1]}/$header ]] || continue
    file=$(one "lib$library.so*" "${roots[@]}") header=$(one "$header" "${roots[@]}")
    [[ $file && $header ]] || continue
    file=$(realpath "$file")
    case $library in
      cudnn) cuda_options+=(-DCUDNN_LIBRARY="$file" -DCUDNN_INCLUDE="${header%/*}") ;;
      *) cuda_options+=(-DCUDA_"$library"_LIBRARY="$file") && export CPATH=${header%/*}${CPATH:+:$CPATH} ;;
    esac
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}${file%/*}
  done
}
