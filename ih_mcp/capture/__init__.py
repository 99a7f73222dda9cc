"""A page on this machine where a person records, and where anybody sees what was found."""
