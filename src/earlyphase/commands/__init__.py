"""One module per subcommand: load, call the core once, save."""
