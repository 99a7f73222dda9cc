"""Media: files and recorder chunks in, segments the API takes out."""
