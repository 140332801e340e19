#!/usr/bin/env bash
# Files that can't be what they should be: each is refused with its name, what is wrong with it, and exit status 3, by every
# verb that reads files; nothing is written, and the file stays as it is.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

PYTHON=${PEER_PYTHON:-/usr/bin/python3}
HERE=$EELPIPE_ROOT/tests/cli
BAD=$_scratch/bad
can_make=yes
"$PYTHON" -c 'import h5py' 2>"$_scratch/making" || can_make=no
[ "$can_make" = no ] || "$PYTHON" "$HERE/make_bad.py" "$BAD" >"$_scratch/making" 2>&1 || can_make=failed

need_files() {
    [ "$can_make" != no ] || skip "no bad files without h5py: $(tail -n 1 "$_scratch/making")"
    [ "$can_make" = yes ] || fail "make_bad.py: $(tail -n 1 "$_scratch/making")"
}

# recipe_on FILE: one input, two steps.
recipe_on() {
    cat >recipe.yaml <<YAML
eelpipe: 1
inputs:
  o: $1
output: out
steps:
  net: {stage: background, input: o, window: [480, 525]}
  sum: {stage: integrate, input: net, window: [532, 560]}
YAML
}

# refused FILE PATTERN...
refused() {
    need_files
    local name=$1 file=$BAD/$1.hspy verb pattern before=
    shift
    [ -f "$file" ] && before=$(stamp "$file")
    recipe_on "$file"
    for verb in "info $file" "check recipe.yaml" "run recipe.yaml" "stage background $file net.hspy window=480,525"; do
        # shellcheck disable=SC2086
        run_expect_exit 3 timeout 20 "$EELPIPE" $verb
        expect_stderr_matches "$name"
        for pattern in "$@"; do expect_stderr_matches "$pattern"; done
        expect_no_file net.hspy
        expect_no_file out/net.hspy
        expect_no_temporaries
    done
    [ -z "$before" ] || expect_untouched "$before" "$file"
}

# ---- no files of ours ----

missing_file() { refused nowhere 'no such file|no file fits'; }
story missing_file
text_named_hspy() { refused text 'not an HDF5 file'; }
story text_named_hspy
empty_file() { refused empty 'empty \(0 bytes\)'; }
story empty_file
a_folder() { refused folder 'is a folder|: a folder, not a file'; }
story a_folder
a_pipe_does_not_hang() { refused pipe 'a pipe, not a file'; }
story a_pipe_does_not_hang
a_link_to_nowhere() { refused dangling 'no such file|a link to a file that is not there'; }
story a_link_to_nowhere
a_link_to_itself() { refused loop 'too many levels'; }
story a_link_to_itself
hdf5_without_signals() { refused nothing 'no signals in it.*import'; }
story hdf5_without_signals
a_hyperspy_file_too_old() { refused old 'format version 1\.3.*save it with a newer'; }
story a_hyperspy_file_too_old

a_device() {
    run_expect_exit 3 timeout 20 "$EELPIPE" info /dev/zero
    expect_stderr_matches '/dev/zero: a device'
    run_expect_exit 3 timeout 20 "$EELPIPE" stage background /dev/zero net.hspy window=480,525
    expect_no_file net.hspy
}
story a_device

a_file_one_may_not_read() {
    [ "$(id -u)" -eq 0 ] || skip "only root can try as somebody else"
    command -v setpriv >/dev/null || skip "there is no setpriv"
    need_files
    chmod 711 "$_scratch" .
    chmod 755 "$BAD"
    cp "$BAD/good.hspy" secret.hspy
    chmod 600 secret.hspy
    run setpriv --reuid=65534 --regid=65534 --clear-groups "$EELPIPE" version
    [ "$status" -eq 0 ] || skip "the program can't be run by somebody else here"
    run_expect_exit 3 setpriv --reuid=65534 --regid=65534 --clear-groups "$EELPIPE" info "$PWD/secret.hspy"
    expect_stderr_matches 'secret\.hspy: permission denied'
}
story a_file_one_may_not_read

# ---- axes ----

no_energy_axis() { refused unit_nm "'Energy loss' is in 'nm'.*not an energy.*eV or keV"; }
story no_energy_axis
an_unknown_unit() { refused unit_odd "'furlong'.*not an energy.*eV or keV"; }
story an_unknown_unit
two_energy_axes() { refused energy_twice '2 of its axes are energies.*mark one'; }
story two_energy_axes
scale_not_a_number() { refused scale_nan "'Energy loss'.*scale must be a finite number other than 0"; }
story scale_not_a_number
scale_zero() { refused scale_zero "'Energy loss'.*scale must be a finite number other than 0"; }
story scale_zero
scale_zero_of_a_pixel() { refused scale_zero_y "axis 'y'.*scale must be a finite number other than 0"; }
story scale_zero_of_a_pixel
scale_infinite() { refused scale_inf "scale must be a finite number other than 0"; }
story scale_infinite
scale_a_word() { refused scale_text "scale must be a finite number"; }
story scale_a_word
scale_missing() { refused scale_none "'Energy loss' has no scale.*calibrate"; }
story scale_missing
offset_not_a_number() { refused offset_nan "'Energy loss'.*offset is not a finite number"; }
story offset_not_a_number
axis_size_disagrees() { refused size_other "'Energy loss'.*size is 99 but the data have 256"; }
story axis_size_disagrees
axis_missing() { refused axis_missing 'no group axis-2'; }
story axis_missing
energies_that_go_back() { refused vector_back "'Energy loss' is not uniform.*interpolate"; }
story energies_that_go_back
energies_not_numbers() { refused vector_nan "'Energy loss' is not uniform"; }
story energies_not_numbers
energies_as_texts() { refused vector_text "'Energy loss'.*do not match"; }
story energies_as_texts

# ---- values ----

lists_for_values() { refused lists 'lists of varying length, not numbers'; }
story lists_for_values
texts_for_values() { refused texts 'texts, not numbers'; }
story texts_for_values
records_for_values() { refused records 'records.*not numbers'; }
story records_for_values
complex_values() { refused complex 'complex numbers.*not numbers'; }
story complex_values
a_single_number() { refused scalar 'empty, or a single number'; }
story a_single_number
nothing_for_data() { refused null 'empty, or a single number'; }
story nothing_for_data
zero_pixels() { refused no_pixels 'dimension 0 has size 0'; }
story zero_pixels
zero_channels() { refused no_channels 'dimension 2 has size 0'; }
story zero_channels
six_dimensions() { refused six '6 dimensions; at most 4'; }
story six_dimensions
more_values_than_the_file_can_hold() { refused claims 'claims to hold 281474976710656 values, but the file has only'; }
story more_values_than_the_file_can_hold
more_values_than_can_be_counted() { refused claims_more 'more values than there can be'; }
story more_values_than_can_be_counted
too_many_channels() { refused channels "'Energy loss' has 33554432 channels"; }
story too_many_channels
a_group_in_place_of_data() { refused group "can't be opened"; }
story a_group_in_place_of_data
a_link_in_a_circle() { refused soft_loop "can't be opened"; }
story a_link_in_a_circle
values_linked_in_another_file() { refused linked 'link to another file, which is not followed'; }
story values_linked_in_another_file
values_stored_in_another_file() { refused external 'lie in other files \(external storage\).*save a copy'; }
story values_stored_in_another_file
values_put_together_from_other_files() { refused virtual 'lie in other files \(a virtual dataset\).*save a copy'; }
story values_put_together_from_other_files

# unread FILE PATTERN [OPTION...]: what only reading the values can tell.
unread() {
    need_files
    local file=$BAD/$1.hspy pattern=$2
    shift 2
    recipe_on "$file"
    run_expect_exit 3 timeout 20 "$EELPIPE" run recipe.yaml "$@"
    expect_stderr_matches "$(basename "$file"): .*$pattern"
    expect_no_file out/net.hspy
    run_expect_exit 3 timeout 20 "$EELPIPE" stage background "$file" net.hspy window=480,525 "$@"
    expect_stderr_matches "$(basename "$file"): .*$pattern"
    expect_no_file net.hspy
    expect_no_temporaries
}
a_damaged_chunk() { unread chunk_bad "can't be decompressed"; }
story a_damaged_chunk
# HDF5 1.10 itself reads beyond its buffer on these.
chunks_that_unpack_to_too_little() {
    local type
    for type in f4 big half long big16; do unread "short_$type" '(decompressed|read).*\(damaged file\?\)'; done
}
story chunks_that_unpack_to_too_little
a_chunk_of_more_than_1_GiB() { unread chunk_huge 'chunks of more than 1 GiB; save it with smaller chunks'; }
story a_chunk_of_more_than_1_GiB
a_chunk_larger_than_the_memory() { unread chunk_large 'chunks of 64 MiB, more than --memory gives \(32 MiB\): give more, or.*smaller chunks' --memory 32M; }
story a_chunk_larger_than_the_memory

# ---- the wrong signal of a good file ----

a_map_is_no_spectrum_image() {
    need_files
    recipe_on "$BAD/map.hspy"
    run_expect_exit 2 "$EELPIPE" check recipe.yaml
    expect_stderr_matches "recipe\.yaml:6:.*'o' is a map; .*needs a spectrum image"
    run_expect_exit 2 "$EELPIPE" stage background "$BAD/map.hspy" net.hspy window=480,525
    expect_stderr_matches "'IN' is a map"
    expect_stderr_lacks 'command line\):[0-9]'
}
story a_map_is_no_spectrum_image

a_signal_that_is_not_there() {
    need_files
    recipe_on "{path: $BAD/two.hspy, signal: third}"
    run_expect_exit 3 "$EELPIPE" run recipe.yaml
    expect_stderr_matches "two\.hspy: no signal 'third'; the file holds 'o' .*'second'"
    run_expect_exit 3 "$EELPIPE" stage background "$BAD/two.hspy#third" net.hspy window=480,525
    expect_stderr_matches "no signal 'third'"
}
story a_signal_that_is_not_there

which_of_two_signals() {
    need_files
    recipe_on "$BAD/two.hspy"
    run_expect_exit 3 "$EELPIPE" run recipe.yaml
    expect_stderr_matches "2 signals fit: say which with .signal:.*FILE#SIGNAL"
    run_expect_exit 0 "$EELPIPE" stage background "$BAD/two.hspy#second" net.hspy window=480,525
}
story which_of_two_signals

odd_values_are_flagged_not_refused() {
    need_files
    local kind
    for kind in nan zero negative; do
        run_expect_exit 0 "$EELPIPE" stage background "$BAD/v_$kind.hspy" "$kind.hspy" window=480,525
        expect_stderr_matches '72 of 72 pixels flagged'
    done
}
story odd_values_are_flagged_not_refused

# ---- damage ----

cut_anywhere() {
    need_files
    local bytes k
    bytes=$(stat -c %s "$BAD/good.hspy")
    for ((k = 1; k < 24; k++)); do
        head -c $((bytes * k / 24)) "$BAD/good.hspy" >cut.hspy
        run_expect_exit 3 "$EELPIPE" info cut.hspy
        expect_stderr_matches 'cut\.hspy: '
    done
    head -c $((bytes - 1)) "$BAD/good.hspy" >cut.hspy
    run_expect_exit 3 "$EELPIPE" stage background cut.hspy net.hspy window=480,525
    expect_no_file net.hspy
}
story cut_anywhere

# mutated FILE: a crash inside the HDF5 library is an exit status, too.
mutated() {
    need_files
    cp "$BAD/$1.hspy" in.hspy
    "$PYTHON" "$HERE/mutate.py" 5 120 0,1,2,3 in.hspy -- "$EELPIPE" stage background in.hspy net.hspy window=480,525 >.mutated 2>&1 || fail "$(tail -n 5 .mutated)"
    rm -f net.hspy
    expect_no_temporaries
}
damage_at_random_places() { mutated small_gzip; }
story damage_at_random_places
damage_where_values_are_converted() { mutated small_big; }
story damage_where_values_are_converted
damage_behind_filters_of_the_library() { mutated small_packed; }
story damage_behind_filters_of_the_library

stories_end
