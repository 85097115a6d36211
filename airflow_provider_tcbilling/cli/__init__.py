"""The command line: explain a purchase, settle it, list all purchases."""
