"""For the tests of your own program: what does my handler answer, what did my code enqueue, what becomes of it?

A `Kit` works on a connection or session whose transaction the test rolls back, with the engine's real statements and no
stand-ins. So tests need no clean-up, see nothing of each other, and run in parallel on one database.

    kit = Kit(handlers)

    def test_a_new_customer_is_welcomed(session):                # its transaction is rolled back by the fixture
        sign_up(session, "ada@example.org")
        [welcome] = kit.enqueued(session, SendWelcome)
        assert welcome.message.to == "ada@example.org"

        kit.move_clock(session, timedelta(days=1))               # what is scheduled within a day comes due
        [job, *_] = kit.drain(session)
        assert job.state is JobState.COMPLETED
"""

from headrace.queue.testing.drain import AT_ONCE, DrainUnendingError, TransactionEndedError
from headrace.queue.testing.enqueued import EnqueuedJob
from headrace.queue.testing.kit import Kit

__all__ = ["AT_ONCE", "DrainUnendingError", "EnqueuedJob", "Kit", "TransactionEndedError"]
