-- Breaks the caller's transaction, so that it can't be committed whatever the caller does with the error: no number is
-- written like this.
select cast(%(reason)s::text as integer)
