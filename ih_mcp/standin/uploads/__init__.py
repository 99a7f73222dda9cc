"""Uploads: files, jobs and results."""
