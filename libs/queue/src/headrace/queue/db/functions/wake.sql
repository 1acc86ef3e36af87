-- Wakes the workers of a queue at commit, unless it was notified in the same 50 ms: then its workers are awake, and they
-- go on looking for longer than that (see claiming/recheck_timer.py). A transaction that notifies commits alone: every
-- other notifying transaction in the whole cluster waits for it. So under load there are at most 20 notifications per
-- second and slot. When nothing was notified in the last 5 ms, a queue is notified at once, at most 200 times a second.
--
-- A queue's slot is the first hex digit of its name's md5; recheck_timer.py computes the same one.
create function {schema}.wake(queue text) returns void language plpgsql as $$
declare
  now_is constant bigint := floor(extract(epoch from clock_timestamp()) * 200);
  slot constant bigint := 1 << ('x' || left(md5(queue), 1))::bit(4)::integer;
  woken bigint := (select last_value from {schema}.wakes);
begin
  if (woken >> 16) / 10 <> now_is / 10 then
    woken := 0;
  end if;
  if woken & slot = 0 or woken >> 16 <> now_is then
    perform setval('{schema}.wakes', (now_is << 16) | (woken & 65535) | slot), pg_notify('{channel}', queue);
  end if;
end $$;
