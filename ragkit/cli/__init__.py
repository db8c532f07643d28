"""The `ragkit` command: one file per subcommand, all on top of `ragkit.Pipeline`."""
