#!/usr/bin/env bash
# ./dev gpu --pack [DIR] [--binary]: one folder with all that a GPU machine without network and without our packages
# lacks: the libraries that Minnow builds on, and the Python packages that PyTorch is compared through. --binary
# adds compiled programs; without them that machine compiles, which 16 cores do faster than they fetch.
#
# Put the folder at build/pack there, or name it in MINNOW_PACK; `./dev gpu` finds it. The other machine needs a C++
# compiler, CMake, ninja, CUDA 13 and cuDNN 9, and the same processor family.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit=$((60 << 20))
# OpenMP and the C++ library come with the compiler; googletest is the source that libgtest.a was made of.
build_packages=(libdnnl-dev libstb-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libfmt-dev
  libgtest-dev libbenchmark-dev libsndfile1-dev libsoxr-dev libkissfft-dev libsentencepiece-dev)
not_packed='^(libc6|libc6-dev|libgcc-s1|libgomp1|libstdc[+][+]6|googletest)$'
wheels=(timm opacus)

die() {
  printf 'dev gpu --pack: %s\n' "$1" >&2
  exit "${2:-1}"
}

folder=build/pack binary=
for argument; do
  case $argument in
    --binary) binary=1 ;;
    -*) die "expected a folder or --binary; got '$argument'" 2 ;;
    *) folder=$argument ;;
  esac
done
[[ ! -e $folder || -e $folder/PACK ]] || die "$folder exists and is no pack; name another folder" 2
command -v apt-get >/dev/null || die 'needs apt-get, of Debian or Ubuntu, to fetch the libraries'

# depends PACKAGE...: what they need, one level down.
depends() {
  apt-cache depends --no-recommends --no-suggests "$@" |
    awk '$1 ~ /^[|]?Depends:$/ && $2 !~ /^</ { print $2 }' | grep -vE "$not_packed" | sort -u
}

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
# The user that apt fetches as must be able to write here.
chmod 755 "$new"
mkdir -m 777 "$new/deb"
mkdir "$new/pack"
mapfile -t direct < <(depends "${build_packages[@]}")
mapfile -t indirect < <(depends "${direct[@]}")
(cd "$new/deb" && apt-get -qq download "${build_packages[@]}" "${direct[@]}" "${indirect[@]}") ||
  die "apt-get could not fetch the packages; 'apt-get update' first?"
for package in "$new"/deb/*.deb; do
  dpkg -x "$package" "$new/pack"
  package=${package##*/}
  printf '%s\n' "${package%.deb}"
done | sed 's/%3a/:/' >"$new/pack/PACK"

usr=$new/pack/usr
mv "$usr/share/cmake" "$usr/share/nlohmann_json" "$new" 2>/dev/null || true
(cd "$usr" && rm -rf share bin src ../etc lib/*/libstb.* lib/*/pkgconfig)
mkdir "$usr/share"
for kept in "$new/cmake" "$new/nlohmann_json"; do
  if [[ -e $kept ]]; then mv "$kept" "$usr/share"; fi
done
find "$usr/lib" -name '*.so.*' -type f -exec strip --strip-unneeded {} +

# Without them the comparison leaves out the rows that need them.
if python3 -m pip --version >/dev/null 2>&1; then
  python3 -m pip -q --disable-pip-version-check download --no-deps --only-binary=:all: -d "$new/pack/wheels" \
    "${wheels[@]}" || printf 'dev gpu --pack: pip could not fetch: %s\n' "${wheels[*]}" >&2
fi
peer=../shared/peers/vit_step.py
if [[ -e $peer ]]; then install -D -m 644 "$peer" "$new/pack/peers/vit_step.py"; fi

if [[ $binary ]]; then
  # Another processor of the family runs them too. H100 and H200 are 90; MINNOW_GPU_ARCH names another.
  cmake --preset gpu -B build/gpu-portable -DMINNOW_NATIVE=OFF \
    -DMINNOW_CUDA_ARCHITECTURES="${MINNOW_GPU_ARCH:-90}-real"
  cmake --build build/gpu-portable --target minnow minnow_tests benchmarks -j "$(nproc)"
  mkdir "$new/bin" "$new/pack/bin"
  cp build/gpu-portable/{minnow,minnow_tests,bench_kernels,bench_step} "$new/bin"
  strip "$new"/bin/*
  # Each holds the kernels of all, and would not fit as it is.
  tar -C "$new/bin" -czf "$new/pack/bin/bin.tar.gz" .
  tests/gpu.sh --sources >"$new/pack/bin/SOURCES"
  # The tests were told where the golden files and the program lie.
  printf '%s\n' "$PWD/build/gpu-portable" >"$new/pack/bin/FOLDER"
fi

size=$(du -sb --apparent-size "$new/pack" | cut -f 1)
du -sh --apparent-size "$new"/pack/* | sed "s,$new/pack/,,"
((size <= limit)) || die "the pack takes $((size >> 20)) MiB; at most $((limit >> 20)) may be carried"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mv "$new/pack" "$folder"
printf '%s: %d MiB\n' "$folder" $((size >> 20))
