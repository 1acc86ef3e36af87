-- The condition of a JobFilter, for the statements that search for jobs. NULL is not a condition.
(%(states)s::text[] is null or state::text = any(%(states)s::text[]))
  and (%(kinds)s::text[] is null or kind = any(%(kinds)s::text[]))
  and (%(queues)s::text[] is null or queue = any(%(queues)s::text[]))
  and (%(tags)s::text[] is null or tags @> %(tags)s::text[])
  and (%(created_after)s::timestamptz is null or created_at >= %(created_after)s::timestamptz)
  and (%(created_before)s::timestamptz is null or created_at < %(created_before)s::timestamptz)
