#!/bin/sh
# Keeps the folders of a guest out of its module. cargo hashes a package's folder into `-C metadata`, which decides the
# order of the compiled functions, and panics name their source file. Here packages that lie in folders, rather than in
# a registry, are told apart by name and version.
case "${CARGO_MANIFEST_DIR:-}" in
"" | "$ALTHING_GUEST_REGISTRIES"/*) exec "$@" ;;
esac
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    case "$argument" in
    metadata=*) argument="metadata=$CARGO_PKG_NAME-$CARGO_PKG_VERSION" ;;
    esac
    set -- "$@" "$argument"
    left=$((left - 1))
done
exec "$@" "--remap-path-prefix=$CARGO_MANIFEST_DIR=/$CARGO_PKG_NAME"
