"""What any entry point needs of a process: a runtime, credentials, the set-up check."""
