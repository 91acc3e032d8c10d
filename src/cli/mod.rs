//! The command line: clap types, and one function per subcommand.
