"""Agent frameworks as clients of this server: `make frameworks` runs them."""
