"""The database's versions, in order; applied by `nst migrate`."""
