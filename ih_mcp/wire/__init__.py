"""What the protocol is: messages, versions, limits, errors, order. No sockets, files or clocks."""
