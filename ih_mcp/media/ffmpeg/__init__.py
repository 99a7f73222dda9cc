"""The program ffmpeg: found, started, read, and what it says."""
