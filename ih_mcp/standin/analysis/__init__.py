"""From media to messages: windows, analysts, and what is reported."""
