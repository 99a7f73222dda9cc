"""What a stream's messages add up to, drawn: for a page, a terminal, a file."""
