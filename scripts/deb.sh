#!/usr/bin/env bash
# BUILD/eelpipe_VERSION_ARCH.deb out of what `make install` installs. What it depends on is asked of the program: the
# packages of the libraries that it loads at start, and those that it opens when it needs them.
# usage: scripts/deb.sh BUILD
set -eu
build=$1
# pipeline/numerics/library.h, pipeline/draw/cairo_load.c, pipeline/io/tiff_load.c
opened=(libopenblas0 liblapacke libfftw3-double3 libcairo2 libpango-1.0-0 libpangocairo-1.0-0 libglib2.0-0 fonts-liberation libtiff6)

for tool in dpkg-deb dpkg-query ldd strip; do
    command -v "$tool" >/dev/null || { echo "deb: $tool is missing" >&2; exit 1; }
done
version=$("$build/eelpipe" version | awk 'NR == 1 { print $2 }')
arch=$(dpkg --print-architecture)
root=$build/deb
rm -rf "$root"
env -u MAKEFLAGS -u MAKELEVEL make -s -o "$build/eelpipe" install BUILD="$build" DESTDIR="$root" PREFIX=/usr >/dev/null

# The package that a library's file is of. Where /lib is a link to /usr/lib, dpkg may know either name.
owner() {
    local file
    for file in "$1" "$(readlink -f "$1")" "/usr$1" "${1#/usr}"; do
        dpkg-query -S "$file" 2>/dev/null | sed -E 's/(:[a-z0-9]+)?: .*//' | head -n 1 | grep . && return
    done
    echo "deb: no package holds $1" >&2
    return 1
}
depends=()
needed=$(objdump -p "$build/eelpipe" | awk '$1 == "NEEDED" { print $2 }')
while read -r name _ file _; do
    grep -qxF "$name" <<<"$needed" || continue # what libraries need is their packages' affair
    depends+=("$(owner "$file")")
done < <(ldd "$build/eelpipe" | grep '=> /')
depends+=("${opened[@]}")
libc=$(dpkg-query -W -f '${Version}' libc6 2>/dev/null | sed 's/-.*//')
list=$(printf '%s\n' "${depends[@]}" | sort -u | sed "s/^libc6\$/libc6 (>= ${libc:-2.31})/" | paste -sd, | sed 's/,/, /g')

strip --strip-unneeded "$root/usr/bin/eelpipe"
gzip -9n "$root/usr/share/man/man1/eelpipe.1"
gzip -9n "$root/usr/share/doc/eelpipe/CHANGELOG.md"
mv "$root/usr/share/doc/eelpipe/LICENSE" "$root/usr/share/doc/eelpipe/copyright"
mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: eelpipe
Version: $version
Architecture: $arch
Maintainer: the eelpipe authors <eelpipe@localhost>
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: $list
Section: science
Priority: optional
Description: maps with sigmas from EELS and EDS spectrum images
 A recipe says which spectrum images become which maps, profiles and tables; one
 command computes what is missing or out of date, for one file or for a whole in
 situ series. Every quantity carries its standard deviation, and every file says
 how it was made.
CONTROL
find "$root" -type d -exec chmod 755 {} +
# The same bytes whenever it is built of the same program.
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} dpkg-deb -Zxz --root-owner-group --build "$root" "$build/eelpipe_${version}_$arch.deb" >/dev/null
echo "$build/eelpipe_${version}_$arch.deb"
echo "depends on: $list"
