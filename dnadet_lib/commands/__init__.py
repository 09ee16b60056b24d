"""The commands of `dnadet`, a module each."""
