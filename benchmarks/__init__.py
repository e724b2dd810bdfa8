"""Commands that measure and print a table; each row is a ratio of two things measured together."""
