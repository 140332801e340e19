#!/usr/bin/env bash
# Checks that the packages for building (or building and testing) are there; installs what is missing. Those that tests can do without
# are tried once others had to be installed.
# usage: scripts/deps.sh [build|test]
set -u

build=(gcc libc6-dev make pkg-config libhdf5-dev libopenblas-dev liblapacke-dev libfftw3-dev libyaml-dev libdeflate-dev libxxhash-dev libxrl-dev
    libpango1.0-dev libcairo2-dev fonts-liberation libtiff-dev)
tests=(libcmocka-dev python3 python3-hyperspy python3-h5py python3-tifffile nodejs node-ajv)
# Without these a check says that it was skipped; not every system has them under these names.
optional=(chromium chromium-driver python3-selenium)
modules=(hdf5-serial openblas lapacke fftw3 pangocairo libtiff-4 yaml-0.1 libdeflate libxxhash libxrl)

case "${1:-build}" in
build) wanted=("${build[@]}") ;;
test)
    wanted=("${build[@]}" "${tests[@]}")
    modules+=(cmocka)
    ;;
*)
    echo "usage: scripts/deps.sh [build|test]" >&2
    exit 2
    ;;
esac

fail() {
    echo "deps: $1" >&2
    exit 1
}

# Where packages cannot be installed from here ($1 says why): goes on if the compiler and the libraries are there all the
# same. Says so, but on other systems, where that is the rule.
settle_for_libraries() {
    local lacking=() m
    command -v pkg-config >/dev/null 2>&1 || fail "$1; pkg-config is missing, and perhaps of the libraries: ${modules[*]}"
    command -v "${CC:-cc}" >/dev/null 2>&1 || fail "$1; there is no C compiler (set CC, or install gcc)"
    for m in "${modules[@]}"; do pkg-config --exists "$m" || lacking+=("$m"); done
    [ "${#lacking[@]}" -eq 0 ] || fail "$1; pkg-config does not find: ${lacking[*]}. Install these libraries with their headers"
    [ -z "${missing+x}" ] || echo "deps: $1; going on, since pkg-config finds the libraries" >&2
    exit 0
}

command -v dpkg-query >/dev/null 2>&1 || settle_for_libraries "this is not a Debian system"

present=" $(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null | awk '$2 == "installed" { printf "%s ", $1 }')"
missing=()
for p in "${wanted[@]}"; do
    case "$present" in
    *" $p "*) continue ;;
    esac
    # Tools may have come another way (clang as cc, pkgconf as pkg-config).
    case "$p" in
    gcc) command -v "${CC:-cc}" >/dev/null 2>&1 && continue ;;
    make | pkg-config) command -v "$p" >/dev/null 2>&1 && continue ;;
    esac
    missing+=("$p")
done
lacking=()
if [ "${1:-build}" = test ]; then
    for p in "${optional[@]}"; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || lacking+=("$p")
    done
fi
[ "${#missing[@]}" -eq 0 ] && { [ "${#lacking[@]}" -eq 0 ] || [ "$(id -u)" -ne 0 ]; } && exit 0

command -v apt-get >/dev/null 2>&1 || settle_for_libraries "apt-get is not here to install: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 ||
        settle_for_libraries "not root, and no sudo here; an administrator can run: apt-get install ${missing[*]}"
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n) # nobody there to type a password
fi
echo "deps: installing ${missing[*]} ${lacking[*]}" >&2
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null >&2
}
apt update || echo "deps: the package lists could not be renewed; trying with those that are here" >&2
[ "${#missing[@]}" -eq 0 ] || apt install -y --no-install-recommends "${missing[@]}" || settle_for_libraries "could not install ${missing[*]}"
if [ "${#lacking[@]}" -gt 0 ]; then
    apt install -y --no-install-recommends "${lacking[@]}" || echo "deps: going on without ${lacking[*]}: some checks will be skipped" >&2
fi
