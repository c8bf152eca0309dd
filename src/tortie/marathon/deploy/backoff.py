"""How long an app waits after its tasks failed."""

from __future__ import annotations

from dataclasses import dataclass

from tortie.marathon.model.app import App


@dataclass(frozen=True, slots=True)
class Delay:
    """No launch before `until`; `seconds` is what the next failure multiplies. Belongs to one config of the app."""

    config_version: str
    seconds: float
    until: float


def after_failure(app: App, delay: Delay | None, now: float) -> Delay:
    """The first failure waits `backoffSeconds`, each further one that much longer, up to `maxLaunchDelaySeconds`.

    A delay of another config, or one that ended longer than `maxLaunchDelaySeconds` ago, does not count.
    """
    ceiling = app.max_launch_delay_seconds
    stale = delay is None or delay.config_version != app.config_version or now > delay.until + ceiling
    seconds = app.backoff_seconds if stale or delay is None else delay.seconds * app.backoff_factor
    seconds = min(seconds, ceiling)
    return Delay(app.config_version, seconds, now + seconds)


def left(app: App, delay: Delay | None, now: float) -> float:
    """Seconds until the app may launch again; 0 when it may."""
    if delay is None or delay.config_version != app.config_version:
        return 0.0
    return max(0.0, delay.until - now)
