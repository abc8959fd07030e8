"""One file per client or theme; a case is a function marked with `@case`."""
