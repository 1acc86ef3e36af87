-- Returns how many jobs have certain tags, as the planner estimates from its statistics. Reads no job.
explain (format json) select from {schema}.jobs where tags @> %(tags)s::text[]
