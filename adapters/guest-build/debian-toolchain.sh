#!/usr/bin/env bash
# Makes a Rust toolchain for wasm32-unknown-unknown from Debian's packages, for machines where rustup cannot add
# targets. Needs no root, unless apt's package lists were never fetched.
#
#   usage: debian-toolchain.sh FOLDER        (afterwards: RUSTC=FOLDER/bin/rustc cargo build --target wasm32-…)
#
#   Debian's rustc-web, its std and its LLVM ─► FOLDER/root      unpacked, not installed
#   rust-lld of the Rust that is already here ─► same sysroot     Debian ships no linker for wasm with it
#   rust-web-src, built once with -Zbuild-std ─► FOLDER/root/usr/lib/rustlib/wasm32-unknown-unknown
#
# std of one version with rustc of another does not link, hence all of it comes from one source package.
# About a minute on idle cores, 880 MB on the way. FOLDER/ready is written last: without it the folder is started anew.
set -euo pipefail

folder=${1:?usage: debian-toolchain.sh FOLDER}
target=wasm32-unknown-unknown
if [ -e "$folder/ready" ]; then exit 0; fi

say() { echo "guests: $*" >&2; }
need() { command -v "$1" >/dev/null || { say "'$1' is missing: $2"; exit 1; }; }
need apt-get "this way works on Debian and its kin only; elsewhere run: rustup target add $target"
need dpkg "this way works on Debian and its kin only"
need cargo "install Rust from https://rustup.rs"

dependency() { apt-cache depends "$1" 2>/dev/null | awk -v want="$2" '$1 == "Depends:" && $2 ~ want { print $2; exit }'; }
std=$(dependency libstd-rust-web-dev '^libstd-rust-web-[0-9]')
if [ -z "$std" ]; then
    say "fetching apt's package lists"
    apt-get update >/dev/null || { say "apt-get update failed; run it as root once, then try again"; exit 1; }
    std=$(dependency libstd-rust-web-dev '^libstd-rust-web-[0-9]')
fi
[ -n "$std" ] || { say "this Debian has no libstd-rust-web-dev (12 or newer is needed)"; exit 1; }
llvm=$(dependency "$std" '^libllvm')

rm -rf "$folder"
mkdir -p "$folder/debs" "$folder/root" "$folder/bin"
folder=$(cd "$folder" && pwd)
say "downloading Debian's rustc for wasm into $folder"
packages=(rustc-web "$std" libstd-rust-web-dev rust-web-src ${llvm:+"$llvm"})
(cd "$folder/debs" && { apt-get download "${packages[@]}" >/dev/null 2>&1 || { apt-get update >/dev/null && apt-get download "${packages[@]}" >/dev/null; }; })
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done
rm -rf "$folder/debs"

# rustc finds its sysroot from where librustc_driver lies, so root/usr is the sysroot and nothing may move out of it.
usr=$folder/root/usr
for tool in rustc rustdoc; do
    cat >"$folder/bin/$tool" <<'WRAPPER'
#!/bin/sh
folder=$(dirname "$(dirname "$(readlink -f "$0")")")
for libraries in "$folder"/root/usr/lib/*-linux-gnu; do :; done
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
WRAPPER
    echo "exec \"\$folder/root/usr/bin/$tool\" \"\$@\"" >>"$folder/bin/$tool"
    chmod +x "$folder/bin/$tool"
done

host=$("$folder/bin/rustc" -vV | sed -n 's/^host: //p')
upstream=$(rustc --print sysroot)/lib/rustlib/$host/bin
mkdir -p "$usr/lib/rustlib/$host/bin"
if [ -x "$upstream/rust-lld" ]; then
    # Copied rather than linked: the other Rust may be updated or removed.
    cp -RL "$upstream/rust-lld" "$usr/lib/rustlib/$host/bin/"
    if [ -d "$upstream/gcc-ld" ]; then cp -RL "$upstream/gcc-ld" "$usr/lib/rustlib/$host/bin/"; fi
elif command -v wasm-ld >/dev/null; then
    printf '#!/bin/sh\n[ "$1" = -flavor ] && shift 2\nexec wasm-ld "$@"\n' >"$usr/lib/rustlib/$host/bin/rust-lld"
    chmod +x "$usr/lib/rustlib/$host/bin/rust-lld"
else
    say "neither rust-lld nor wasm-ld is here: apt-get install lld"
    exit 1
fi

# std is built with object code and bitcode, so that guests may use lto.
say "building std for $target"
build=$folder/build
mkdir -p "$build/src"
echo '#![no_std]' >"$build/src/lib.rs"
cat >"$build/Cargo.toml" <<'MANIFEST'
[package]
name = "seed"
version = "0.0.0"
edition = "2021"
[workspace]
[profile.release]
panic = "abort"
debug = 0
MANIFEST
(
    cd "$build"
    # Settings of a surrounding cargo must not leak into this build.
    unset CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET
    RUSTC="$folder/bin/rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$build/target" \
        RUSTFLAGS="-Cembed-bitcode=yes --remap-path-prefix=$usr/lib/rustlib/src/rust=/rustc/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}/registry/src=/cargo" \
        cargo build --quiet --release --target "$target" -Zbuild-std=std,panic_abort >&2
)
mkdir -p "$usr/lib/rustlib/$target/lib"
find "$build/target/$target/release/deps" -name '*.rlib' ! -name 'libseed*' -exec cp {} "$usr/lib/rustlib/$target/lib/" \;
rm -rf "$build" "$usr/share" "$usr/src"
"$folder/bin/rustc" --version >"$folder/ready.partial"
mv "$folder/ready.partial" "$folder/ready"
say "$(cat "$folder/ready") with $target is in $folder"
