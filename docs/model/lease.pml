/* The lease protocol of one job, small enough to be checked in every interleaving.
 *
 * Two workers claim, work, complete, fail, hand back, fall silent and come back. A rescuer takes the job away from a worker
 * whenever it pleases: silence can't be told from slowness, so safety must not depend on its being right. The server
 * may crash while it commits: then the client does not learn whether the commit happened.
 *
 * Each d_step is one statement on the database (see libs/queue/src/headrace/queue/db/sql), atomic as Postgres makes it.
 *
 *   NO_FENCE      leaves the lease out of the outcome's condition          -> must be found wrong
 *   ASYNC_CLAIM   answers a claim before it is durable; a crash undoes it  -> must be found wrong
 *   NO_AUDIT      nobody looks after a claim whose answer got lost         -> the job may never be done
 *   NO_RESCUE     nobody looks after a dead worker's job                   -> the job may never be done
 */

#define WORKERS 2
#define FAULTS  4          /* lost answers, wrong or right rescues, deaths, failed attempts: so many in all */

mtype = { available, running, done };

/* The job's row. */
mtype state = available;
byte lease = 0;
byte owner = 0;            /* worker_id; 0 for none */

/* The truth, which no process looks at. */
byte handed_out = 0;       /* how many claims were handed out, each a right of its own */
byte holder = 0;           /* the claim that has the job now; 0 when none has */
byte completions = 0;
byte faults = 0;
bool dead[WORKERS + 1];

#define fault_left (faults < FAULTS)

proctype Worker(byte me)
{
  byte my_lease, my_claim;
  bool knows = false;

  do
  :: dead[me] || (state == done && !knows) -> break

  :: !dead[me] && state != done && !knows ->
     if
     /* claim.sql: committed and answered */
     :: d_step { state == available && !dead[me] ->
          state = running; lease++; owner = me; handed_out++; holder = handed_out;
          my_lease = lease; my_claim = handed_out; knows = true }
     /* committed, but the answer got lost: the row says that we run it, and we know nothing of it */
     :: d_step { state == available && !dead[me] && fault_left ->
          faults++; state = running; lease++; owner = me; handed_out++; holder = handed_out }
#ifdef ASYNC_CLAIM
     /* answered, and then undone by a crash of the server: the row is as it was before */
     :: d_step { state == available && !dead[me] && fault_left ->
          faults++; my_lease = lease + 1; handed_out++; my_claim = handed_out; knows = true }
#endif
#ifndef NO_AUDIT
     /* auditor.py: what the row says we run, and we don't, is handed back; fenced by the lease that was read */
     :: d_step { state == running && owner == me && !dead[me] -> state = available; owner = 0; holder = 0 }
#endif
     /* somebody else has it: look again later */
     :: state == done || dead[me] || (state == running && owner != me) -> skip
     fi

  :: !dead[me] && knows ->
     if
     /* complete.sql */
     :: d_step {
#ifdef NO_FENCE
          if
          :: state == running -> assert(holder == my_claim); completions++; state = done; owner = 0; holder = 0
#else
          if
          :: state == running && lease == my_lease ->
             assert(holder == my_claim); completions++; state = done; owner = 0; holder = 0
#endif
          :: else -> skip    /* too late: counts for nothing */
          fi;
          knows = false }
     /* complete.sql, committed, and the answer lost: it is sent again, and changes nothing then */
     :: d_step { fault_left ->
          faults++;
          if
          :: state == running && lease == my_lease ->
             assert(holder == my_claim); completions++; state = done; owner = 0; holder = 0
          :: else -> skip
          fi }
     /* settle.sql: a failed attempt, or a hand-back when the worker drains */
     :: d_step { fault_left ->
          faults++;
          if
          :: state == running && lease == my_lease ->
             assert(holder == my_claim); state = available; owner = 0; holder = 0
          :: else -> skip
          fi;
          knows = false }
     fi

  :: d_step { fault_left && !dead[3 - me] -> faults++; dead[me] = true }
  od
}

/* rescue.sql: any worker's job, at any time. One that is dead for good is rescued without counting as a fault. */
proctype Rescuer()
{
  do
  :: state == done -> break
  :: d_step { state == running && owner != 0 && fault_left -> faults++; state = available; owner = 0; holder = 0 }
#ifndef NO_RESCUE
  :: d_step { state == running && owner != 0 && dead[owner] -> state = available; owner = 0; holder = 0 }
#endif
  od
}

init { atomic { run Worker(1); run Worker(2); run Rescuer() } }

/* A job is completed at most once, and what is done stays done. */
ltl once     { [] (completions <= 1 && (state == done -> completions == 1)) }
/* With finitely many faults the job gets done. */
ltl progress { <> (state == done) }
