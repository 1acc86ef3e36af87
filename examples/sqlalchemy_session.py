"""Enqueueing takes SQLAlchemy's sessions and connections, blocking or asynchronous: here a Session and its ORM.

Prints:
    order 1 and job 1 are committed together
    after the rollback: 1 order, 1 job
"""

from dataclasses import dataclass

from sqlalchemy import create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from headrace.queue import Headrace, job_kind

app = Headrace()


@job_kind("shop.SendReceipt")
@dataclass
class SendReceipt:
    order: int


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


app.kinds(SendReceipt)  # this program only enqueues


def main(dsn: str) -> None:
    engine = create_engine(dsn.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)

    with Session(engine) as session, session.begin():
        order = Order()
        session.add(order)
        session.flush()
        enqueued = app.enqueue(session, SendReceipt(order=order.id))
        print(f"order {order.id} and job {enqueued.job_id} are committed together")

    with Session(engine) as session:
        session.add(Order())
        app.enqueue(session, SendReceipt(order=2))
        session.rollback()
        orders = session.scalar(select(func.count()).select_from(Order))
        jobs = session.scalar(text("select count(*) from headrace.jobs"))
        print(f"after the rollback: {orders} order, {jobs} job")
    engine.dispose()


with app.embedded_postgres() as dsn:
    main(dsn)
