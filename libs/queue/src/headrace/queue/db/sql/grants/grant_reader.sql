-- What a console or an autoscaler needs: to look.
grant usage on schema {schema} to {role};
grant select on all tables in schema {schema} to {role};
