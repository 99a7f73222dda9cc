"""Where the segments of a stream come from: a file, a caller, a camera."""
