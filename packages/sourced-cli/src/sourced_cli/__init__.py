"""The `sourced` command line."""
