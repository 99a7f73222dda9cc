"""How well the tests notice a mistake: one small change at a time, and which tests fail on it."""
