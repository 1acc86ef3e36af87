-- Aborts the caller's transaction, so that it can't be committed whatever the caller does with the error: the text is
-- not a number.
select cast(%(reason)s::text as integer)
