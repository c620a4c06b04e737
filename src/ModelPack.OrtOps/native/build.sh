#!/bin/sh
# Builds the operators as shared libraries for hosts without .NET (C, C++, Python, ...): libmodelpack_ort.so and one library per instruction set beside it.
# Needs the .NET SDK, gcc and libc's headers. Usage: build.sh <folder to fill> [variant ...]
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
if [ $# -lt 1 ]; then
  echo "usage: $0 <folder to fill> [variant ...]" >&2
  exit 2
fi

mkdir -p "$1"
out=$(CDPATH= cd -- "$1" && pwd)
shift
case $(uname -m) in
  x86_64) rid=linux-x64 all="avx2 avx512 avx512-vnni" ;;
  aarch64) rid=linux-arm64 all="arm64" ;;
  *) echo "$0: no .NET AOT compiler for $(uname -m)" >&2; exit 1 ;;
esac
[ $# -gt 0 ] || set -- $all

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for variant in "$@"; do
  case $variant in
    avx2) set=x86-64-v3 ;;
    avx512) set=x86-64-v4,avx512v2 ;;
    avx512-vnni) set=x86-64-v4,avx512v2,avxvnni ;;
    arm64) set=armv8-a ;;
    *) echo "$0: no variant '$variant'; there are: $all" >&2; exit 2 ;;
  esac
  dotnet publish "$here/.." -c Release -r "$rid" "-p:NativeInstructionSet=\"$set\"" --artifacts-path "$work/$variant" -v quiet -nologo
  cp "$work/$variant/publish/ModelPack.OrtOps/release_$rid/ModelPack.OrtOps.so" "$out/libmodelpack_ort.$variant.so"
done
gcc -O2 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden "$here/modelpack_ort.c" -o "$out/libmodelpack_ort.so" -ldl -lpthread
