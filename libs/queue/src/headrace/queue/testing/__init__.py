"""For the tests of a program: what a handler returns, what your code enqueues, and what becomes of those jobs.

A `Kit` works on a connection or session whose transaction the test rolls back. It uses the engine's real statements and
no fakes. Tests need no clean-up, don't see each other's jobs, and run in parallel on one database.

    kit = Kit(app)

    def test_a_new_customer_is_welcomed(session):                # the fixture rolls its transaction back
        sign_up(session, "ada@example.org")
        [welcome] = kit.enqueued(session, SendWelcome)
        assert welcome.payload.to == "ada@example.org"

        kit.move_clock(session, timedelta(days=1))               # what is scheduled within a day becomes available
        [job] = kit.drain(session, SendWelcome)
        assert job.state is JobState.COMPLETED
"""

from headrace.queue.testing.drain import AT_ONCE, DrainUnendingError, TransactionEndedError
from headrace.queue.testing.enqueued import EnqueuedJob
from headrace.queue.testing.kit import Kit

__all__ = ["AT_ONCE", "DrainUnendingError", "EnqueuedJob", "Kit", "TransactionEndedError"]
