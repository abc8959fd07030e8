#!/bin/sh
# The compiler for `cargo xtask fuzz`: our own crates report which branches were taken, and what was compared with what.
# Without link-time optimisation within a crate, which would instrument again what is instrumented already. Dependencies are compiled as always, so that the engine looks for new ways through our code and not through theirs.
compiler=$1
shift
case " $* " in
*" --crate-name chronik_"* | *" --crate-name requests "* | *" --crate-name batches "* | *" --crate-name wal "* | *" --crate-name segments "* | *" --crate-name config "*)
  exec "$compiler" "$@" --cfg fuzzing -C lto=off -C codegen-units=4 -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table -C llvm-args=-sanitizer-coverage-trace-compares ;;
*) exec "$compiler" "$@" ;;
esac
