-- Holds back everything that finishes jobs until the transaction ends.
lock table {schema}.tallies in share row exclusive mode
