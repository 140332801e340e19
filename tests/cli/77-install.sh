#!/usr/bin/env bash
# What `make install`, `make uninstall` and `make deb` do; how the program was linked.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

built=${EELPIPE_BUILD:-$EELPIPE_ROOT/build}
# -o: what is built is taken as it is.
in_the_tree() { env -u MAKEFLAGS -u MAKELEVEL make -s -C "$EELPIPE_ROOT" BUILD="$built" -o "$built/eelpipe" "$@"; }
needs_a_build() { [[ $EELPIPE -ef $built/eelpipe ]] || skip "only where the ordinary build is tested"; }

install_and_uninstall() {
    needs_a_build
    local here file
    here=$(pwd)
    run_expect_exit 0 in_the_tree install DESTDIR="$here/root" PREFIX=/opt/ee
    for file in bin/eelpipe share/man/man1/eelpipe.1 share/bash-completion/completions/eelpipe \
        share/eelpipe/recipe.schema.json share/doc/eelpipe/README.md share/doc/eelpipe/docs/tutorial.md share/doc/eelpipe/docs/stages/background.md; do
        expect_file "root/opt/ee/$file"
    done
    run_expect_exit 0 root/opt/ee/bin/eelpipe version
    [ -z "$(find root -type f -not -path 'root/opt/ee/*')" ] || fail "something was installed outside PREFIX"
    touch root/opt/ee/bin/other
    run_expect_exit 0 in_the_tree uninstall DESTDIR="$here/root" PREFIX=/opt/ee
    [ "$(find root -type f)" = root/opt/ee/bin/other ] || fail "left or too much taken: $(find root -type f | head -n 5)"
}
story install_and_uninstall

the_program_is_hardened() {
    needs_a_build
    command -v readelf >/dev/null || skip "there is no readelf"
    readelf -Wh "$built/eelpipe" | grep -q 'Type: *DYN' || fail "it is not position-independent"
    readelf -Wd "$built/eelpipe" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || fail "its tables are not bound at start"
    readelf -Wl "$built/eelpipe" | grep -q 'GNU_RELRO' || fail "its tables are not read-only"
    readelf -Wl "$built/eelpipe" | grep 'GNU_STACK' | grep -q 'RW ' || fail "its stack can be executed"
    readelf -Ws "$built/eelpipe" | grep -q '__stack_chk_fail' || fail "its stacks are not watched"
    readelf -Ws "$built/eelpipe" | grep -qE '__(memcpy|snprintf|vsnprintf|fprintf|printf)_chk' || fail "it is not fortified"
}
story the_program_is_hardened

# Everything in the packages named and in what they depend on, into the folder `clean`.
clean_root() {
    local -A seen=()
    local todo=("$@") package depends
    mkdir clean
    while ((${#todo[@]})); do
        package=${todo[0]}
        todo=("${todo[@]:1}")
        [ -z "${seen[$package]-}" ] || continue
        seen[$package]=1
        depends=$(dpkg-query -W -f '${Depends}, ${Pre-Depends}' "$package" 2>/dev/null) || continue # another one provides it
        dpkg-query -L "$package" | while read -r file; do
            case $file in *.so | *.so.* | /usr/lib/*/*blas*) [ -e "$file" ] && [ ! -d "$file" ] && echo "$file" ;; esac
        done >>files
        mapfile -t -O "${#todo[@]}" todo < <(awk -v RS='[,|]' 'NF { sub(/:any/, "", $1); print $1 }' <<<"$depends")
    done
    # Links of the alternatives system are no package's: those that lead to a file in it are made by installing it.
    find /usr/lib /etc/alternatives -type l -name '*blas*so*' -o -type l -name '*lapack*so*' 2>/dev/null >>files
    sort -u files | tar -cf - --ignore-failed-read -T - 2>/dev/null | tar -xf - -C clean
    mkdir -p clean/usr/lib clean/tmp clean/proc clean/dev
    local folder
    for folder in lib lib64 bin; do [ -e "clean/$folder" ] || [ ! -L "/$folder" ] || ln -s "$(readlink "/$folder")" "clean/$folder"; done
    [ -e clean/lib64/ld-linux-x86-64.so.2 ] || [ ! -e /lib64/ld-linux-x86-64.so.2 ] ||
        { mkdir -p clean/lib64; cp -L /lib64/ld-linux-x86-64.so.2 clean/lib64/; }
}

the_package_runs_on_a_clean_root() {
    [ -n "${EELPIPE_TEST_LONG:-}" ] || skip "only in make test-long"
    needs_a_build
    command -v dpkg-deb >/dev/null || skip "there is no dpkg-deb"
    [ "$(id -u)" -eq 0 ] || skip "chroot needs root"
    mkdir build
    cp "$built/eelpipe" build/
    local here depends
    here=$(pwd)
    (cd "$EELPIPE_ROOT" && bash scripts/deb.sh "$here/build" >"$here/said") || fail "make deb: $(cat said)"
    depends=$(dpkg-deb -f build/*.deb Depends)
    mapfile -t packages < <(tr ',' '\n' <<<"$depends" | awk '{ print $1 }')
    clean_root "${packages[@]}"
    dpkg-deb -x build/*.deb clean
    image clean/tmp/in.hspy
    run_expect_exit 0 chroot clean /usr/bin/eelpipe version
    expect_stdout_matches 'OpenBLAS'
    run_expect_exit 0 chroot clean /usr/bin/eelpipe stage background /tmp/in.hspy /tmp/net.hspy window=480,525
    run_expect_exit 0 chroot clean /usr/bin/eelpipe stage background /tmp/in.hspy /tmp/lcpl.hspy window=480,525 method=lcpl
    expect_file clean/tmp/lcpl.hspy
    # The manual and the completion are where they are looked for.
    expect_file clean/usr/share/man/man1/eelpipe.1.gz
    expect_file clean/usr/share/bash-completion/completions/eelpipe
    # What the program needs of libraries is in what it depends on: without one of them it does not start.
    find clean/usr/lib -name 'libyaml*' -delete
    run chroot clean /usr/bin/eelpipe version
    [ "$status" -ne 0 ] || fail "the root is not clean: it runs without libyaml"
}
story the_package_runs_on_a_clean_root

stories_end
