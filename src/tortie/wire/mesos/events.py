"""What the master says to a framework."""

from __future__ import annotations

from tortie.wire.mesos.calls import FrameworkMessage
from tortie.wire.mesos.parties import MasterInfo, Offer
from tortie.wire.mesos.tasks import TaskStatus
from tortie.wire.mesos.values import ID, Message


class Subscribed(Message):
    framework_id: ID
    heartbeat_interval_seconds: float | None = None
    master_info: MasterInfo | None = None


class Offers(Message):
    offers: list[Offer] = []


class Rescind(Message):
    offer_id: ID


class Update(Message):
    status: TaskStatus


class Failure(Message):
    """Without executor_id: the agent is lost."""

    agent_id: ID | None = None
    executor_id: ID | None = None
    status: int | None = None


class ErrorText(Message):
    message: str


class Event(Message):
    """`type` names the one field that is set: SUBSCRIBED, OFFERS, RESCIND, UPDATE, MESSAGE, FAILURE, ERROR, HEARTBEAT.

    Types that we do not know are left to the reader to skip.
    """

    type: str
    subscribed: Subscribed | None = None
    offers: Offers | None = None
    rescind: Rescind | None = None
    update: Update | None = None
    message: FrameworkMessage | None = None
    failure: Failure | None = None
    error: ErrorText | None = None
